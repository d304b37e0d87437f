"""Conditions of Kubernetes objects: reading one, and waiting for one.

`kubectl wait --for=condition=…` is no wait where `status.conditions` is null: it ends at once with an error. An API
server writes null for a moment into every CustomResourceDefinition that is new.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from order_devstack.errors import CommandFailed, DevstackError

_POLL_SECONDS = 0.2
_SILENT_SECONDS = 5.0
"""A wait that takes longer tells every so often what it waits for."""


def condition(status: Mapping[str, Any] | None, kind: str) -> dict[str, Any]:
    """One condition of a status; empty where it, or the status, is absent or null."""
    conditions = (status or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def wait_for_condition(
    kubectl: Callable[..., str], kind: str, *objects: str, within_seconds: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The objects that `kubectl get OBJECTS` shows, once there is one and the condition of each is True.

    What is absent or null, or cannot be read, counts as "not yet". `say` is told what is missing while it takes long.
    Raises DevstackError with what is missing after `within_seconds`.
    """
    found: list[dict[str, Any]] = []

    def missing() -> str:
        answer = json.loads(kubectl("get", *objects, "--output=json"))
        found[:] = (answer["items"] or []) if "items" in answer else [answer]
        waiting = [each for each in found if condition(each.get("status"), kind).get("status") != "True"]
        names = ", ".join(each["metadata"]["name"] for each in waiting)
        return "" if found and not waiting else f"{kind} of {names or ' '.join(objects)}"

    wait_until_nothing_is_missing(missing, within_seconds=within_seconds, say=say)
    return found


def wait_until_nothing_is_missing(
    missing: Callable[[], str], *, within_seconds: float, say: Callable[[str], None]
) -> None:
    """Ask until `missing` answers with an empty text; else it answers what is missing. A command of it that fails
    counts as "not yet".

    Raises after `within_seconds`: DevstackError with what is missing, or the error of the last command.
    """
    started = time.monotonic()
    told = started
    while True:
        error: CommandFailed | None = None
        try:
            what = missing()
        except CommandFailed as failed:
            error, what = failed, str(failed)
        if not what:
            return
        now = time.monotonic()
        if now - started > within_seconds:
            raise error or DevstackError(f"waited {within_seconds:.0f} s in vain for {what}.")
        if now - told > _SILENT_SECONDS:
            say(f"waiting for {what}, {now - started:.0f} of at most {within_seconds:.0f} s")
            told = now
        time.sleep(_POLL_SECONDS)
