"""The watch: what it takes from the API server, and where it reads."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from console_pieces import an_order, until
from fake_cluster import FakeCluster

from order_console.api_server import ApiError, _events
from order_console.reflector import Reflector


class Parts:
    """What comes over the line, in the parts in which it comes."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


async def read(*parts: bytes) -> list[object]:
    return [event async for event in _events(Parts(*parts))]  # type: ignore[arg-type]


async def test_a_change_of_any_size_is_read_in_whatever_parts_it_comes() -> None:
    """An order of more than 128 KiB ended the watch, again and again."""
    large = json.dumps({"type": "ADDED", "object": "x" * 300_000}).encode() + b"\n"
    small = json.dumps({"type": "DELETED"}).encode() + b"\n"

    assert [event["type"] for event in await read(large[:7], large[7:], small + small)] == [  # type: ignore[index]
        "ADDED",
        "DELETED",
        "DELETED",
    ]


async def test_a_change_that_breaks_off_is_none() -> None:
    with pytest.raises(ValueError, match="middle"):
        await read(b'{"type": "ADDED"}\n{"type"')


async def test_where_the_orders_of_all_may_not_be_read_those_of_each_namespace_are(cluster: FakeCluster) -> None:
    cluster.allow("narrow", "list", namespace="shop")
    cluster.allow("narrow", "list", namespace="outlet")
    cluster.put(an_order("first", namespace="shop"))
    cluster.put(an_order("second", namespace="outlet"))
    cluster.put(an_order("third", namespace="elsewhere"))
    reflector = Reflector(cluster.as_user("narrow"), ("shop", "outlet"))  # type: ignore[arg-type]

    running = asyncio.create_task(reflector.run())
    await until(lambda: reflector.problem is None)

    assert {order.name for order in reflector.newest} == {"first", "second"}
    running.cancel()


async def test_a_console_that_starts_before_the_api_server_waits_for_it(cluster: FakeCluster) -> None:
    api = cluster.as_user("console")
    call, away = api.call, True

    async def at_first_away(*arguments: object, **more: object) -> dict[str, object]:
        if away:
            raise ApiError(0, "the API server does not answer: refused")
        return await call(*arguments, **more)  # type: ignore[arg-type]

    api.call = at_first_away  # type: ignore[assignment]
    cluster.put(an_order("first"))
    reflector = Reflector(api, ("default",))  # type: ignore[arg-type]
    running = asyncio.create_task(reflector.run())
    await until(lambda: reflector.problem == "the API server does not answer: refused")
    away = False

    await until(lambda: reflector.find("shop", "first") is not None)
    running.cancel()


async def test_an_order_that_was_made_anew_under_its_name_is_the_new_one(cluster: FakeCluster) -> None:
    reflector = Reflector(cluster.as_user("console"), ())  # type: ignore[arg-type]
    running = asyncio.create_task(reflector.run())
    cluster.put(an_order("first"))
    await until(lambda: reflector.find("shop", "first") is not None)

    cluster.drop("shop", "first")
    again = an_order("first")
    again["metadata"]["uid"] = "another"
    cluster.put(again)
    await until(lambda: list(reflector.orders) == ["another"])

    found = reflector.find("shop", "first")
    assert found is not None
    assert found.uid == "another"
    running.cancel()
