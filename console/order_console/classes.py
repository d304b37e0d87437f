"""OrderClasses, as far as the pages need them. They change rarely: what was read counts for a minute."""

import time
from typing import Any

from order_console.api_server import GROUP_PATH, ApiError
from order_console.identity import Caller

KEPT_SECONDS = 60.0
MAX_KEPT = 500
"""People whose classes are kept. Beyond that all are forgotten, which costs a question each."""


class Classes:
    """Read as the caller. Who may read none sees none."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    async def all(self, caller: Caller) -> dict[str, dict[str, Any]]:
        """Name -> class."""
        kept = self._kept.get(caller.name)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        try:
            answer = await caller.api.call("GET", f"{GROUP_PATH}/orderclasses")
        except ApiError as error:
            if error.status != 403:
                raise
            answer = {"items": []}
        found = {each["metadata"]["name"]: each for each in answer["items"]}
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[caller.name] = (time.monotonic(), found)
        return found

    async def has_four_eyes(self, caller: Caller, name: str) -> bool:
        """Whether who ordered must not decide; False where the class cannot be read: the API server judges anyway."""
        order_class = (await self.all(caller)).get(name, {})
        return bool(order_class.get("spec", {}).get("approval", {}).get("fourEyes"))
