"""Answers of outside companies that are none: nothing is known of what was done, so nothing is taken for done, declined
or failed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from order_domain.errors import OrderError, ProviderUnavailable, Undeliverable
from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.providers.payment.stripe.payments import StripePayments

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from(
        ["id", "object", "status", "metadata", "amount", "created", "data", "has_more", "error", "latest_charge"]
    ),
    JSON,
)
"""With the fields that are read, and anything in them."""
BODIES = st.one_of(OBJECTS.map(json.dumps), JSON.map(json.dumps), st.text(max_size=60)).map(str.encode) | st.binary(
    max_size=60
)
STATUSES = st.sampled_from([200, 200, 200, 201, 302, 400, 402, 404, 500])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, status=STATUSES)
@example(body=b'{"error": {}}', status=400)
@example(body=b'{"error": {}}', status=402)
async def test_no_answer_that_is_not_stripes_makes_a_charge_done_or_declined(body: bytes, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        payments = StripePayments.from_environment(
            {"STRIPE_API_KEY": "sk_test_1", "STRIPE_API_BASE": str(server.make_url("")).rstrip("/")}
        )
        try:
            with pytest.raises(OrderError):
                await payments.charge(
                    "uid/charge/1", amount_minor=100, currency="USD", method="pm_1", asked_at=datetime.now(UTC)
                )
            with suppress(OrderError):
                assert await payments.find_charge("uid/charge/1") is None
        finally:
            await payments.close()


@asynccontextmanager
async def a_server(talk: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """Says what it wants to everybody who comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(writer)
        while await reader.read(1000):  # whatever the client says
            await talk(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(
        st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9]{3}[ -][ -~]{0,20}", fullmatch=True)),
        min_size=1,
        max_size=5,
    )
)
async def test_no_words_of_a_mail_server_end_in_anything_but_a_mail_that_was_not_taken(lines: list[bytes]) -> None:
    left = list(lines)

    async def talk(writer: asyncio.StreamWriter) -> None:
        goes_on = True
        while left and goes_on:  # a line that says that another follows is not the client's turn
            line = left.pop(0)
            goes_on = line[3:4] == b"-"
            writer.write(line + b"\r\n")
        await writer.drain()
        if not left:
            writer.close()

    async with a_server(talk) as port:
        mailer = SMTPMailer.from_environment(
            {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_SECURITY": "none", "SMTP_FROM": "shop@example.com"}
        )
        with pytest.raises((ProviderUnavailable, Undeliverable)):
            async with asyncio.timeout(20):
                await mailer.send(
                    "uid/mail/1", recipient="ana@example.com", subject="Your order", body="It is on its way."
                )
