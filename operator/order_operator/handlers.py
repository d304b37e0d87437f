"""Every hook of kopf. kopf connects, watches and stops; it keeps no state and writes nothing."""

from collections.abc import Mapping
from typing import Any

import kopf

from order_operator.cluster.api_names import FINALIZER, GROUP, ORDER_CLASSES, ORDERS, STOCK_ITEMS, VERSION
from order_operator.orders.classes import OrderClasses
from order_operator.orders.reconcile import Reconciler
from order_operator.stock_items.reconcile import StockReconciler


def build_registry(reconciler: Reconciler, classes: OrderClasses, stock: StockReconciler) -> kopf.OperatorRegistry:
    """The handlers, bound to the objects that they feed."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    # Coroutines, though nothing is awaited: kopf runs plain functions in threads, and the reconciler has only one.
    @kopf.on.event(GROUP, VERSION, ORDERS, registry=registry)
    async def order_changed(event: Mapping[str, Any], **_: Any) -> None:
        # DELETED is told apart because the object is the last one there was, not because of what it holds.
        if event["type"] == "DELETED":
            reconciler.remove(event["object"])
        else:
            reconciler.put(event["object"])

    @kopf.on.event(GROUP, VERSION, ORDER_CLASSES, registry=registry)
    async def class_changed(event: Mapping[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            classes.remove(event["object"]["metadata"]["name"])
        else:
            classes.put(event["object"])
        reconciler.classes_changed()

    @kopf.on.event(GROUP, VERSION, STOCK_ITEMS, registry=registry)
    async def stock_item_changed(event: Mapping[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            stock.remove(event["object"])
        else:
            stock.put(event["object"])

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Why these: docs/decisions/0001-event-fed-queue.md."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.queueing.idle_timeout = 0.2
    settings.queueing.error_delays = (1, 1, 2, 3, 5)
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    # kopf removes a finalizer of this name that no handler of its own needs; ours is another.
    settings.persistence.finalizer = f"{FINALIZER}-unused-by-kopf"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


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
