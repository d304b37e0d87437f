"""What kopf is shown of the API server's answers, and what is taken out of them before: 0040."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from order_operator.handlers import build_settings, registry_of_resources
from order_operator.kopf_answers import answers_for

GROUP_PATH = "/apis/order-platform.dev/v1alpha1"
Body = Mapping[str, Any]
Until = Callable[[int], Awaitable[None]]


def an_object(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "namespace": "shop", "resourceVersion": str(version)}}


class Orders:
    """What was brought, in its order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def put(self, body: Body) -> None:
        self.told.append(("put", body["metadata"]["resourceVersion"]))

    def remove(self, body: Body) -> None:
        self.told.append(("remove", body["metadata"]["resourceVersion"]))


def at_once(function: Callable[[Body], None], body: Body) -> None:
    function(body)


@asynccontextmanager
async def served(*lines: bytes, page: Body | None = None) -> AsyncIterator[str]:
    """An API server that has one answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(page)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line)
            await asyncio.sleep(0.01)
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application) as server:
        yield str(server.make_url(GROUP_PATH))


async def seen_by_kopf(address: str, orders: Orders) -> list[dict[str, Any]]:
    session = aiohttp.ClientSession(response_class=answers_for({"orders": orders}, at_once))
    async with session, session.get(f"{address}/orders?watch=true") as answer:
        body = b"".join([chunk async for chunk in answer.content.iter_chunked(1 << 20)])
    return [json.loads(line) for line in body.splitlines()]


def a_change(kind: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": an_object("a", version)}).encode() + b"\n"


async def test_each_change_is_delivered_and_kopf_sees_a_bookmark_of_its_version() -> None:
    orders = Orders()
    async with served(a_change("ADDED", 1), a_change("MODIFIED", 2) + a_change("DELETED", 3)) as address:
        seen = await seen_by_kopf(address, orders)

    assert orders.told == [("put", "1"), ("put", "2"), ("remove", "3")]
    assert [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in seen] == [
        ("BOOKMARK", "1"),
        ("BOOKMARK", "2"),
        ("BOOKMARK", "3"),
    ]


async def test_a_change_that_comes_in_pieces_is_delivered_once_it_is_whole() -> None:
    orders, change = Orders(), a_change("MODIFIED", 2)
    async with served(change[:9], change[9:30], change[30:]) as address:
        await seen_by_kopf(address, orders)

    assert orders.told == [("put", "2")]


async def test_errors_and_bookmarks_reach_kopf_as_they_are() -> None:
    orders = Orders()
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    async with served(*(json.dumps(event).encode() + b"\n" for event in (bookmark, error))) as address:
        assert await seen_by_kopf(address, orders) == [bookmark, error]

    assert orders.told == []


async def test_a_page_is_delivered_and_kopf_sees_none_of_its_objects_but_where_to_go_on() -> None:
    orders = Orders()
    page = {"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [an_object("a", 1), an_object("b", 2)]}
    session = aiohttp.ClientSession(response_class=answers_for({"orders": orders}, at_once))
    async with served(page=page) as address, session, session.get(f"{address}/orders") as answer:
        assert await answer.json() == {**page, "items": []}

    assert orders.told == [("put", "1"), ("put", "2")]


async def test_what_is_none_of_ours_reaches_kopf_as_it_is() -> None:
    orders = Orders()
    page = {"metadata": {}, "items": [an_object("a", 1)]}
    session = aiohttp.ClientSession(response_class=answers_for({"orders": orders}, at_once))
    async with served(page=page) as address, session, session.get(f"{address}/orderclasses") as answer:
        assert await answer.json() == page

    assert orders.told == []


async def test_the_next_page_is_not_asked_for_while_two_wait_to_be_taken_in() -> None:
    waiting: list[tuple[Callable[[Body], None], Body]] = []
    orders, page = Orders(), {"metadata": {}, "items": [an_object("a", 1)]}
    session = aiohttp.ClientSession(
        response_class=answers_for({"orders": orders}, lambda function, body: waiting.append((function, body)))
    )
    async with served(page=page) as address, session:
        async with session.get(f"{address}/orders") as answer:
            await answer.json()
        async with session.get(f"{address}/orders") as answer:
            reading = asyncio.create_task(answer.json())
            while len(waiting) < 2 * len(("object", "its page")):  # noqa: ASYNC110 - the answer comes by itself
                await asyncio.sleep(0)
            assert not reading.done()
            for function, body in waiting:
                function(body)
            await reading


def a_resource(name: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "patch", "watch"]
    return {"name": name, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}


class ApiServer:
    """Lists one order, and tells of one change in each request for changes."""

    def __init__(self) -> None:
        self.version = 5
        self.asked: list[str | None] = []
        """The version since which changes were wanted, or None for a list."""
        self.limits: list[str | None] = []
        """The largest number of orders that each list was to have."""
        self.too_old = ""
        """Changes since then are not known any more."""
        self.news = asyncio.Event()

    async def discovery(self, request: web.Request) -> web.Response:
        version = {"version": "v1alpha1", "groupVersion": "order-platform.dev/v1alpha1"}
        group = {"name": "order-platform.dev", "preferredVersion": version, "versions": [version]}
        answers: dict[str, dict[str, Any]] = {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [a_resource("namespaces", "Namespace"), a_resource("events", "Event")]},
            "/apis": {"groups": [group]},
            GROUP_PATH: {"resources": [a_resource("orders", "Order"), a_resource("stockitems", "StockItem")]},
        }
        return web.json_response(answers[request.path])

    async def orders(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.asked.append(None)
            self.limits.append(request.query.get("limit"))
            version = str(self.version)
            page = {"metadata": {"resourceVersion": version}, "items": [an_object("a", self.version)]}
            return web.json_response(page)
        since = request.query["resourceVersion"]
        self.asked.append(since)
        response = web.StreamResponse()
        await response.prepare(request)
        if since == self.too_old:
            await response.write(json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n")
            return response
        await asyncio.wait_for(self.news.wait(), 30)
        self.news.clear()
        self.version += 1
        await response.write(a_change("MODIFIED", self.version))
        return response

    async def stock_items(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.sleep(30)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})


@asynccontextmanager
async def watched_by_kopf(api: ApiServer, orders: Orders, folder: Path) -> AsyncIterator[Until]:
    """Within it kopf watches as in the operator; what is yielded waits until so much was brought."""
    application = web.Application()
    application.router.add_get(f"{GROUP_PATH}/orders", api.orders)
    application.router.add_get(f"{GROUP_PATH}/stockitems", api.stock_items)
    application.router.add_get("/{path:.*}", api.discovery)
    stop = asyncio.Event()

    async def until(told: int) -> None:
        async with asyncio.timeout(30):
            while len(orders.told) < told:  # noqa: ASYNC110 - another task brings it
                await asyncio.sleep(0.01)

    async with TestServer(application) as server:
        file = folder / "kubeconfig"
        context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
        clusters = [{"name": "it", "cluster": {"server": str(server.make_url("/"))}}]
        users = [{"name": "it", "user": {"token": "one"}}]
        file.write_text(
            yaml.safe_dump({"current-context": "it", "contexts": [context], "clusters": clusters, "users": users})
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", str(file))
            registry = registry_of_resources(orders, Orders(), at_once, lambda _path, **_: None)
            watching = asyncio.create_task(
                kopf.operator(registry=registry, settings=build_settings(), clusterwide=True, stop_flag=stop)
            )
            try:
                yield until
            finally:
                stop.set()
                await watching


async def test_kopf_goes_on_from_the_last_change_and_lists_again_when_that_is_too_old(tmp_path: Path) -> None:
    api, orders = ApiServer(), Orders()
    async with watched_by_kopf(api, orders, tmp_path) as until:
        await until(1)
        api.too_old = "6"
        api.news.set()
        await until(3)

    assert api.asked[:4] == [None, "5", "6", None]
    assert orders.told == [("put", "5"), ("put", "6"), ("put", "6")]


async def test_kopf_lists_in_pages_of_five_hundred(tmp_path: Path) -> None:
    """The answer to one question for all orders would be held whole, by the API server and here."""
    api, orders = ApiServer(), Orders()
    async with watched_by_kopf(api, orders, tmp_path) as until:
        await until(1)

    assert api.limits == ["500"]
