"""Every hook of kopf. kopf connects, watches and stops; it keeps no state and writes nothing."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from order_operator.cluster.api_names import FINALIZER, GROUP, ORDER_CLASSES, ORDERS, STOCK_ITEMS, VERSION
from order_operator.kopf_login import Answered, login
from order_operator.watch_liveness import RECONNECT_SECONDS


class Kind(Protocol):
    """Who takes in the objects of one kind."""

    def put(self, body: Mapping[str, Any], /) -> None:
        """One version of an object."""

    def remove(self, body: Mapping[str, Any], /) -> None:
        """The last version of an object that is gone."""


Deliver = Callable[[Callable[[Mapping[str, Any]], None], Mapping[str, Any]], None]
"""Calls the function with the object, on the thread of the operator."""


def _registry(answered: Answered) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login")(login(answered))
    return registry


# The handlers are coroutines, though nothing is awaited: kopf runs plain functions in further threads.


def registry_of_resources(orders: Kind, stock: Kind, deliver: Deliver, answered: Answered) -> kopf.OperatorRegistry:
    """The handlers of what lives in namespaces."""
    registry = _registry(answered)
    for plural, kind in {ORDERS: orders, STOCK_ITEMS: stock}.items():

        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)
        async def changed(event: Mapping[str, Any], kind: Kind = kind, **_: Any) -> None:
            # DELETED is told apart because the object is the last one there was, not because of what it holds.
            deliver(kind.remove if event["type"] == "DELETED" else kind.put, event["object"])

    return registry


def registry_of_classes(changed: Kind, deliver: Deliver, answered: Answered) -> kopf.OperatorRegistry:
    """The handlers of OrderClasses."""
    registry = _registry(answered)

    @kopf.on.event(GROUP, VERSION, ORDER_CLASSES, registry=registry)
    async def class_changed(event: Mapping[str, Any], **_: Any) -> None:
        deliver(changed.remove if event["type"] == "DELETED" else changed.put, event["object"])

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Why these: docs/decisions/0001-event-fed-queue.md, 0022-a-watch-asks-anew-every-minute.md."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.queueing.idle_timeout = 0.2
    settings.queueing.error_delays = (1, 1, 2, 3, 5)
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = RECONNECT_SECONDS
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    # kopf removes a finalizer of this name that no handler of its own needs; ours is another.
    settings.persistence.finalizer = f"{FINALIZER}-unused-by-kopf"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


class NoMemories(ResourceMemories):
    """kopf keeps 0.9 KB about each object for as long as it exists, for handlers that we do not have: 90 MiB of 100,000
    orders. It has no public name for the class."""

    async def recall(self, raw_body: kopf.RawBody, **options: Any) -> ResourceMemory:
        """A new one each time."""
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf computes differences for every event, even if no handler wants them; from nothing they are cheap."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


class _NoProgress(kopf.ProgressStorage):
    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing is kept."""

    def touch(self, **_: Any) -> None:
        """Nothing is kept."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
