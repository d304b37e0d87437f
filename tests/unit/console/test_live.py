"""What an open page is told while orders change."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlencode

import pytest
from console_pieces import SECRET, an_order, until
from fake_cluster import FakeCluster
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from order_console import streams
from order_console.api_server import ApiError, Gone
from order_console.console import Console
from order_console.identity import Caller
from order_console.pages import events
from order_console.pages.listing import Filter, entries
from order_console.sessions import Session
from order_console.view import OrderView

PATIENCE_SECONDS = 10.0


def maria(cluster: FakeCluster) -> Caller:
    return Caller("maria", (), cluster.as_user("maria"), Session(SECRET))  # type: ignore[arg-type]


async def until_read(console: Console) -> asyncio.Task[None]:
    running = asyncio.create_task(console.reflector.run())
    await until(lambda: console.reflector.problem is None)
    return running


async def next_of(messages: AsyncIterator[ServerSentEvent]) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return str((await anext(messages)).data)


async def test_a_new_order_comes_first_a_changed_one_in_its_place_and_a_deleted_one_goes(
    cluster: FakeCluster, console: Console
) -> None:
    cluster.put(an_order("first"))
    running = await until_read(console)
    messages = events._of_list(console, maria(cluster), Filter())
    assert 'id="order-uid-first"' in await next_of(messages)

    cluster.put(an_order("second"))
    told = await next_of(messages)
    assert '<hx-partial hx-target="#rows" hx-swap="afterbegin">' in told
    assert "uid-first" not in told

    cluster.put(an_order("first", status={"message": "charging the customer"}))
    told = await next_of(messages)
    assert '<hx-partial hx-target="#order-uid-first" hx-swap="outerHTML">' in told
    assert "charging the customer" in told

    cluster.drop("shop", "second")
    assert '<hx-partial hx-target="#order-uid-second" hx-swap="delete">' in await next_of(messages)
    running.cancel()


async def test_an_order_that_no_longer_fits_the_filter_leaves_the_page(cluster: FakeCluster, console: Console) -> None:
    cluster.put(an_order("first"))
    running = await until_read(console)
    messages = events._of_list(console, maria(cluster), Filter(group="waiting"))
    await next_of(messages)

    cluster.put(an_order("first", status={"phase": "Completed"}))

    assert 'hx-target="#order-uid-first" hx-swap="delete"' in await next_of(messages)
    running.cancel()


async def test_only_changes_where_somebody_may_look_concern_their_list(cluster: FakeCluster, console: Console) -> None:
    cluster.put(an_order("first"))
    running = await until_read(console)
    concern = console.lists.concern

    assert concern(frozenset({"shop"}), ["uid-first"])
    assert concern(None, ["uid-first"])
    assert not concern(frozenset({"outlet"}), ["uid-first"])
    assert concern(frozenset({"outlet"}), ["uid-gone"]), "where an order was that is gone nobody knows"
    running.cancel()


async def test_the_inbox_is_not_drawn_anew_while_somebody_types_about_the_same_orders(
    cluster: FakeCluster, console: Console
) -> None:
    cluster.put(an_order("first"))
    running = await until_read(console)
    messages = events._of_inbox(console, maria(cluster))
    assert "1 order waits for you" in await next_of(messages)

    cluster.put(an_order("first", status={"message": "waits, one minute less"}))
    cluster.put(an_order("second"))

    assert "2 orders wait for you" in await next_of(messages)
    running.cancel()


def asked(headers: Mapping[str, str] | None = None, **query: str) -> Request:
    """A question for what changes."""
    given = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "headers": given, "query_string": urlencode(query).encode()})


async def first_sent(console: Console, caller: Caller, request: Request) -> str:
    response = await events.stream(console, caller, request)
    assert isinstance(response, EventSourceResponse)
    async with asyncio.timeout(PATIENCE_SECONDS):
        message = await anext(aiter(response.body_iterator))
    assert isinstance(message, ServerSentEvent)
    return str(message.data)


@pytest.mark.parametrize(
    ("said", "drawn"),
    [
        ({}, True),
        ({"shown": "Waiting/1/True"}, False),
        ({"shown": "Running/1/False"}, True),
        ({"shown": "Running/1/False", "last": "Waiting/1/True"}, False),
        ({"shown": "Waiting/1/True", "last": "Running/1/False"}, True),
    ],
)
async def test_a_form_in_which_somebody_types_is_not_drawn_again_when_its_page_begins_to_follow_the_order(
    cluster: FakeCluster, console: Console, said: dict[str, str], drawn: bool
) -> None:
    """On a busy machine the reason was gone, and the approval had none."""
    cluster.put(an_order("first"))
    running = await until_read(console)
    last = said.pop("last", "")
    request = asked({"Last-Event-ID": last} if last else {}, view="order", namespace="shop", name="first", **said)

    told = await first_sent(console, maria(cluster), request)

    assert 'hx-target="#tracker"' in told
    assert ('hx-target="#actions"' in told) == drawn
    running.cancel()


async def test_an_inbox_in_which_somebody_types_is_not_drawn_again_when_its_page_begins_to_follow(
    cluster: FakeCluster, console: Console
) -> None:
    cluster.put(an_order("first"))
    running = await until_read(console)
    shown = entries(await events.for_me(console, maria(cluster)))
    told = asyncio.create_task(first_sent(console, maria(cluster), asked(view="inbox", shown=shown)))

    cluster.put(an_order("second"))

    assert "2 orders wait for you" in await told
    running.cancel()


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[Caller]:
    """For whom an inbox was worked out."""
    calls: list[Caller] = []
    real = events.for_me

    async def counted(console: Console, caller: Caller) -> list[OrderView]:
        calls.append(caller)
        return await real(console, caller)

    monkeypatch.setattr(events, "for_me", counted)
    return calls


async def test_a_change_that_concerns_no_decision_has_no_inbox_worked_out_again(
    cluster: FakeCluster, console: Console, worked_out: list[Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 1,000 orders that wait, this was half of what the console did."""
    monkeypatch.setattr(events, "PAUSE_SECONDS", 0)
    cluster.put(an_order("first"))
    running = await until_read(console)
    following = await following_the_inbox(console, maria(cluster))

    cluster.put(an_order("first", status={"message": "waits, one minute less"}))
    await until(lambda: order_named(console, "first").message == "waits, one minute less")
    for _ in range(50):  # so that whatever follows the change has been done
        await asyncio.sleep(0)
    cluster.put(an_order("first", status={"phase": "Completed", "pendingAction": {}}))

    assert "0 orders wait for you" in await following
    assert len(worked_out) == 2
    running.cancel()


async def test_an_inbox_is_worked_out_again_once_rights_may_have_changed(
    cluster: FakeCluster, console: Console, worked_out: list[Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEPT_SECONDS", -1.0)
    cluster.put(an_order("first"))
    running = await until_read(console)
    following = await following_the_inbox(console, maria(cluster))

    cluster.put(an_order("first", status={"message": "waits, one minute less"}))

    await until(lambda: len(worked_out) == 2)
    following.cancel()
    running.cancel()


async def following_the_inbox(console: Console, caller: Caller) -> asyncio.Task[str]:
    """What comes after the first message."""
    messages = events._of_inbox(console, caller)
    await next_of(messages)
    return asyncio.create_task(next_of(messages))


def order_named(console: Console, name: str) -> OrderView:
    found = console.reflector.find("shop", name)
    assert found is not None
    return found


async def test_pages_say_that_what_they_show_may_be_old_and_why(cluster: FakeCluster, console: Console) -> None:
    class Away:
        """An API server that answers once, and then no more."""

        async def call(self, *_: object, **__: object) -> dict[str, object]:
            if console.reflector.orders:
                raise ApiError(0, "the API server does not answer: refused")
            return {"items": [an_order("first")], "metadata": {"resourceVersion": "1"}}

        async def watch(self, *_: object) -> AsyncIterator[tuple[str, dict[str, object]]]:
            raise ApiError(0, "the watch broke off")
            yield

    an = an_order("first")
    an["metadata"]["resourceVersion"] = "1"
    console.reflector._api = Away()  # type: ignore[assignment]
    running = asyncio.create_task(console.reflector.run())
    await until(lambda: bool(console.reflector.orders and console.reflector.problem))

    assert "What is shown may be old" in await next_of(events._of_list(console, maria(cluster), Filter()))
    running.cancel()


@pytest.mark.parametrize("breaks", [Gone(), ApiError(500, "etcd is away")], ids=["too old", "an error"])
async def test_after_a_watch_that_broke_off_everything_is_read_again(
    cluster: FakeCluster, console: Console, breaks: Exception
) -> None:
    api = console.reflector._api
    watch = api.watch
    broken = False

    async def breaking(path: str, version: str) -> AsyncIterator[tuple[str, dict[str, object]]]:
        nonlocal broken
        if not broken:
            broken = True
            cluster.put(an_order("missed"))
            raise breaks
        async for change in watch(path, version):
            yield change

    api.watch = breaking  # type: ignore[method-assign]
    running = asyncio.create_task(console.reflector.run())
    await until(lambda: console.reflector.find("shop", "missed") is not None)
    running.cancel()


async def first_of(console: Console, caller: Caller) -> tuple[AsyncIterator[ServerSentEvent], ServerSentEvent]:
    stream = events._sent(console, caller, events._of_list(console, caller, Filter()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        return stream, await anext(stream)


async def test_who_follows_too_many_pages_is_told_so_until_one_is_closed(
    cluster: FakeCluster, console: Console
) -> None:
    running = await until_read(console)
    opened = [await first_of(console, maria(cluster)) for _ in range(streams.MAX_OF_ONE)]
    assert {first.event for _, first in opened} == {None}

    _, refused = await first_of(console, maria(cluster))
    assert (refused.event, "you follow 20 pages" in str(refused.data)) == ("not-followed", True)

    await opened[0][0].aclose()  # type: ignore[attr-defined]
    _, taken = await first_of(console, maria(cluster))
    assert taken.event is None
    running.cancel()


async def test_one_person_keeps_nobody_else_from_following(cluster: FakeCluster, console: Console) -> None:
    running = await until_read(console)
    opened = [await first_of(console, maria(cluster)) for _ in range(streams.MAX_OF_ONE + 1)]
    viewer = Caller("viewer", (), cluster.as_user("viewer"), Session(SECRET))  # type: ignore[arg-type]

    _, taken = await first_of(console, viewer)

    assert taken.event is None
    assert len(opened) == streams.MAX_OF_ONE + 1
    running.cancel()


async def test_of_all_people_together_no_more_follow_than_the_console_bears(
    cluster: FakeCluster, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_OF_ALL", 2)
    running = await until_read(console)
    nobody = Caller("", (), cluster.as_user("maria"), Session(SECRET), reads_only=True)  # type: ignore[arg-type]
    opened = [await first_of(console, nobody) for _ in range(3)]

    assert [first.event for _, first in opened] == [None, None, "not-followed"]
    running.cancel()
