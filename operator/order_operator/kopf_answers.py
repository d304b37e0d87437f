"""Takes the objects out of the API server's answers, before kopf makes a task, a queue and a memory of each.

kopf lists page by page, watches, and goes on where a watch broke off. What it does with an object costs more than to
read it, and nothing of that is used here. So it is shown pages without objects, and in place of each change a bookmark,
which says up to which version it has been told (docs/decisions/0040-objects-are-taken-out-of-kopfs-answers.md).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
from aiohttp.connector import Connection
from pydantic_core import from_json, to_json

from order_operator.cluster.api_names import GROUP, VERSION


class Kind(Protocol):
    """Who takes in the objects of one kind."""

    def put(self, body: Mapping[str, Any], /) -> None:
        """One version of an object."""

    def remove(self, body: Mapping[str, Any], /) -> None:
        """The last version of an object that is gone."""


Deliver = Callable[[Callable[[Mapping[str, Any]], None], Mapping[str, Any]], None]
"""Calls the function with the object, on the thread of the operator."""

_OF_OUR_GROUP = f"/apis/{GROUP}/{VERSION}/"


def answers_for(kinds: Mapping[str, Kind], deliver: Deliver) -> type[aiohttp.ClientResponse]:
    """The class of the answers: objects of `kinds`, by plural, are delivered when kopf reads an answer."""
    last_page: dict[str, asyncio.Event] = {}
    """By path: set when the operator has taken in the page that was read last."""

    async def hand_over(path: str, kind: Kind, bodies: Sequence[Mapping[str, Any]]) -> None:
        """One page is read while the operator takes in the one before, and no more than that is kept in memory."""
        before, last_page[path] = last_page.get(path), asyncio.Event()
        loop, taken = asyncio.get_running_loop(), last_page[path]

        def page_is_taken(_: Mapping[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the watch has just ended, and its loop with it
                loop.call_soon_threadsafe(taken.set)

        for body in bodies:
            deliver(kind.put, body)
        deliver(page_is_taken, {})
        if before is not None:
            await before.wait()

    class Answer(aiohttp.ClientResponse):
        """Of one request."""

        def _kind(self) -> Kind | None:
            fine = self.status == 200 and _OF_OUR_GROUP in self.url.path
            return kinds.get(self.url.name) if fine else None

        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            """The head of the answer is there."""
            await super().start(connection)
            kind = self._kind()
            if kind is not None and "watch" in self.url.query:
                self.content = _Changes(self.content, kind, deliver)  # type: ignore[assignment]
            return self

        async def json(self, **options: Any) -> Any:
            """The answer as a whole."""
            found = await super().json(**{**options, "loads": from_json})
            kind = self._kind()
            if kind is None or "items" not in found:
                return found
            await hand_over(self.url.path, kind, found["items"] or ())
            return {**found, "items": []}

    return Answer


class _Changes:
    """The body of an answer that goes on: one change a line. Reads as kopf reads it."""

    def __init__(self, content: aiohttp.StreamReader, kind: Kind, deliver: Deliver) -> None:
        self._content = content
        self._kind = kind
        self._deliver = deliver

    def __getattr__(self, name: str) -> Any:
        """All else that aiohttp does with the body."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines. What is left of one that broke off kopf sees as it is."""
        rest = b""
        async for data in self._content.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield self._taken(line) + b"\n"
        if rest:
            yield rest

    def _taken(self, line: bytes) -> bytes:
        """What kopf is to see of a change: errors and bookmarks as they are, and a bookmark in place of an object."""
        event = from_json(line) if line else {}
        match event.get("type"):
            case "ADDED" | "MODIFIED":
                self._deliver(self._kind.put, event["object"])
            case "DELETED":
                # Told apart because the object is the last one there was, not because of what it holds.
                self._deliver(self._kind.remove, event["object"])
            case _:
                return line
        version = event["object"]["metadata"]["resourceVersion"]
        return to_json({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})
