"""What the codec server makes of the API server's answers: a right that was given in so many words, or none."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_codec.access import MAY_I, WHO_AM_I, ByApiServer, Caller, NotAnswered, NotKnown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "userInfo", "username", "allowed", "denied"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = JSON.map(json.dumps).map(str.encode) | st.binary(max_size=60)
STATUSES = st.sampled_from([200, 201, 201, 302, 400, 401, 403, 500])
CLERK = Caller("clerk", "a-token")


@asynccontextmanager
async def answering(body: bytes, status: int = 201) -> AsyncIterator[ByApiServer]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    for path in (WHO_AM_I, MAY_I):
        app.router.add_post(path, answer)
    async with TestServer(app) as server:
        yield ByApiServer(str(server.make_url("/")), None)


async def test_the_api_servers_word_counts() -> None:
    async with answering(json.dumps({"status": {"userInfo": {"username": "maria"}, "allowed": True}}).encode()) as api:
        assert (await api.caller("a-token")).name == "maria"
        assert await api.may_read(CLERK, "shop")


async def test_a_token_that_nobody_has_is_nobodys() -> None:
    async with answering(b"{}", status=401) as api:
        with pytest.raises(NotKnown):
            await api.caller("a-token")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, status=STATUSES)
async def test_no_other_answer_is_a_right_or_a_name_or_ends_in_an_error(body: bytes, status: int) -> None:
    async with answering(body, status) as api:
        try:
            allowed = await api.may_read(CLERK, "shop")
        except (NotAnswered, NotKnown):
            allowed = False
        assert not allowed or json.loads(body)["status"]["allowed"] is True
        try:
            name = (await api.caller("a-token")).name
        except (NotAnswered, NotKnown):
            return
        assert json.loads(body)["status"]["userInfo"]["username"] == name


async def test_an_answer_without_an_end_of_brackets_is_none() -> None:
    async with answering(b"[" * 100_000) as api:
        with pytest.raises(NotAnswered):
            await api.may_read(CLERK, "shop")
