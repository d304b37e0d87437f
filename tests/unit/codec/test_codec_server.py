"""The codec server over HTTP: who is answered, with what, and what is written down about it."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from encryption_keys import ring_file
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import WorkflowSerializationContext

from order_codec.access import ByApiServer, Caller, NotKnown
from order_codec.key_ring import KeyRing
from order_codec.payload_codec import EncryptingCodec
from order_codec.server import CodecServer
from order_codec.server_settings import ServerSettings
from order_codec.undecodable import Refused
from order_process.settings import SettingsError

UI = "https://temporal.example.com"
NAME = Payload(metadata={"encoding": b"json/plain"}, data=b'"Ana Torres"')


class Staff:
    """Who may read which namespaces, by their tokens; `*` are all."""

    def __init__(self, **namespaces: set[str]) -> None:
        self.namespaces = namespaces

    async def caller(self, token: str) -> Caller:
        if token not in self.namespaces:
            raise NotKnown
        return Caller(f"name-of-{token}", token)

    async def may_read(self, caller: Caller, namespace: str | None) -> bool:
        return bool({namespace or "*", "*"} & self.namespaces[caller.token])


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(ring_file(tmp_path, "2026-11"))


@pytest.fixture
async def server(ring: KeyRing) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    async with serving(ring) as client:
        yield client


@asynccontextmanager
async def serving(ring: KeyRing, *, write: bool = True) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    made = CodecServer(ring, Staff(clerk={"shop"}, admin={"*"}), [UI], write=write)
    async with TestClient(TestServer(made.application())) as client:
        yield client


async def sealed(ring: KeyRing, namespace: str = "shop", temporal: str = "default") -> Payload:
    context = WorkflowSerializationContext(temporal, f"order/{namespace}/first/uid-1")
    (payload,) = await EncryptingCodec(ring, write=True).with_context(context).encode([NAME])
    return payload


def body(*payloads: Payload) -> str:
    return json.dumps(MessageToDict(Payloads(payloads=payloads)))


async def decoded(server: TestClient, *payloads: Payload, who: str = "clerk", **headers: str) -> list[Payload]:  # type: ignore[type-arg]
    sent = {"Authorization": f"Bearer {who}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await server.post("/decode", data=body(*payloads), headers=sent)
    assert answer.status == 200, await answer.text()
    return list(ParseDict(await answer.json(), Payloads()).payloads)


async def test_who_may_read_the_order_reads_its_payloads(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    assert await decoded(server, await sealed(ring), NAME) == [NAME, NAME]


async def test_payloads_of_other_namespaces_stay_encrypted(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    foreign = await sealed(ring, "other")

    assert await decoded(server, foreign) == [foreign]
    assert await decoded(server, foreign, who="admin") == [NAME]


async def test_a_payload_that_claims_to_be_of_another_namespace_stays_encrypted(
    server: TestClient,  # type: ignore[type-arg]
    ring: KeyRing,
) -> None:
    forged = await sealed(ring, "other")
    forged.metadata["encryption-scope"] = b"workflow:default/order/shop/first/uid-1"

    assert await decoded(server, forged) == [forged]


async def test_payloads_of_another_temporal_namespace_than_the_page_shows_stay_encrypted(
    server: TestClient,  # type: ignore[type-arg]
    ring: KeyRing,
) -> None:
    payload = await sealed(ring)

    assert await decoded(server, payload, X_Namespace="other") == [payload]
    assert await decoded(server, payload, X_Namespace="default") == [NAME]


async def test_without_a_token_nobody_is_asked_who_calls() -> None:
    """An API server that lets strangers in answered for them, and the codec server called that an outage."""
    with pytest.raises(NotKnown):
        await ByApiServer("http://127.0.0.1:1", None).caller("")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic clerk"}])
async def test_nobody_is_answered_without_a_token(server: TestClient, ring: KeyRing, headers: dict[str, str]) -> None:  # type: ignore[type-arg]
    for path in ("/decode", "/encode"):
        answer = await server.post(path, data=body(await sealed(ring)), headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_only_pages_of_the_named_origins_may_ask(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    for origin in ("https://evil.example.com", f"{UI}.evil.example.com", "null", UI.replace("https", "http")):
        sent = {"Authorization": "Bearer clerk", "Origin": origin}
        answer = await server.post("/decode", data=body(await sealed(ring)), headers=sent)
        asked = await server.options("/decode", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        for refused in (answer, asked):
            assert refused.status == 403
            assert "Access-Control-Allow-Origin" not in refused.headers


async def test_the_web_uis_own_page_may_ask(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    asked = await server.options("/decode", headers={"Origin": UI, "Access-Control-Request-Method": "POST"})
    sent = {"Authorization": "Bearer clerk", "Origin": UI}
    answer = await server.post("/decode", data=body(await sealed(ring)), headers=sent)

    assert asked.status == 204
    assert {"Authorization", "Content-Type", "X-Namespace"} <= set(
        asked.headers["Access-Control-Allow-Headers"].split(", ")
    )
    for allowed in (asked, answer):
        assert allowed.headers["Access-Control-Allow-Origin"] == UI
        assert allowed.headers["Vary"] == "Origin"


async def test_every_decode_leaves_one_line_with_who_and_what_and_no_content(
    server: TestClient,  # type: ignore[type-arg]
    ring: KeyRing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    await decoded(server, await sealed(ring), await sealed(ring), await sealed(ring, "other"), X_Namespace="default")

    [line] = [record.__dict__ for record in caplog.records if record.name == "order_codec.audit"]
    assert line["caller"] == "name-of-clerk"
    assert line["temporal_namespace"] == "default"
    assert line["workflows"] == ["order/shop/first/uid-1"]
    assert line["payload_count"] == 2
    assert "Ana" not in str(line)


async def test_a_lost_key_spoils_no_other_payload(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    lost = await sealed(ring)
    lost.metadata["encryption-key-id"] = b"2020-01"

    assert await decoded(server, lost, await sealed(ring)) == [lost, NAME]


SENT = {"Authorization": "Bearer clerk", "X-Namespace": "default"}


async def encoded(server: TestClient, payload: Payload) -> Payload:  # type: ignore[type-arg]
    answer = await server.post("/encode", data=body(payload), headers=SENT)
    (found,) = ParseDict(await answer.json(), Payloads()).payloads
    return found


async def test_what_page_or_command_sends_is_read_by_every_workflow_of_the_namespace_and_by_no_other(
    server: TestClient,  # type: ignore[type-arg]
    ring: KeyRing,
) -> None:
    sent = await encoded(server, NAME)

    assert b"Ana" not in sent.SerializeToString()
    reader = EncryptingCodec(ring, write=True)
    here, elsewhere = (WorkflowSerializationContext(each, "order/shop/first/uid-1") for each in ("default", "other"))
    assert await reader.with_context(here).decode([sent]) == [NAME]
    with pytest.raises(Refused):
        await reader.with_context(elsewhere).decode([sent])
    assert await decoded(server, sent, who="admin", X_Namespace="default") == [NAME]
    assert await decoded(server, sent, who="clerk", X_Namespace="default") == [sent], "it may be of any namespace"


async def test_what_is_encrypted_is_not_encrypted_again(server: TestClient, ring: KeyRing) -> None:  # type: ignore[type-arg]
    payload = await sealed(ring)

    assert await encoded(server, payload) == payload


async def test_nothing_is_encoded_for_nobody_knows_which_namespace(server: TestClient) -> None:  # type: ignore[type-arg]
    answer = await server.post("/encode", data=body(NAME), headers={"Authorization": "Bearer clerk"})

    assert answer.status == 400
    assert "X-Namespace" in await answer.text()


async def test_before_payloads_are_encrypted_what_is_sent_stays_as_it_is(ring: KeyRing) -> None:
    """A worker without the keys would not be able to read it."""
    async with serving(ring, write=False) as server:
        assert await encoded(server, NAME) == NAME


@given(text=st.one_of(st.text(max_size=200), st.from_regex(r'\{"payloads": ?\[.{0,60}\]\}', fullmatch=True)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
async def test_no_body_ends_in_an_error_of_the_server(server: TestClient, text: str) -> None:  # type: ignore[type-arg]
    answer = await server.post("/decode", data=text.encode(), headers={"Authorization": "Bearer clerk"})

    assert answer.status in (200, 400)


async def test_a_deeply_nested_body_is_refused(server: TestClient) -> None:  # type: ignore[type-arg]
    answer = await server.post("/decode", data="[" * 100_000, headers={"Authorization": "Bearer clerk"})

    assert answer.status == 400


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ORDER_CODEC_IDENTITY": "none"}, "loopback"),
        ({"ORDER_CODEC_ORIGINS": "*"}, "whole origins"),
        ({"ORDER_CODEC_ORIGINS": "https://*.example.com"}, "whole origins"),
        ({"ORDER_CODEC_TLS_KEY_FILE": "/key"}, "belong together"),
    ],
)
def test_settings_that_would_open_it_to_everybody_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ServerSettings.from_environment(variables)
