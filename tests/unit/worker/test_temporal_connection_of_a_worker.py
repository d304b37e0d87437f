"""A worker's connection: what it says while Temporal does not let it in, and that it hears of every other client."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from order_process.temporal_access import Access
from order_worker import temporal_connection
from order_worker.temporal_connection import TemporalConnection

ENVIRONMENT = {"TEMPORAL_CONFIG_FILE": "/dev/null"}


class FakeClient:
    """Of the SDK; `refuses` is what the server answers to its calls."""

    namespace = "shop"

    def __init__(self) -> None:
        self.refuses: RPCStatusCode | None = None
        self.has_refused = asyncio.Event()
        self.workflow_service = self
        self.api_key: str | None = None
        self.rpc_metadata: dict[str, str] = {}

    async def describe_namespace(self, _: Any) -> None:
        if self.refuses is not None:
            self.has_refused.set()
            raise RPCError("the server's words", self.refuses, b"")


class Server:
    """Gives clients, or refuses to as often as it is told."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.client = FakeClient()
        self.asked: list[Access] = []

    async def connect(self, access: Access) -> Client:
        self.asked.append(access)
        if self.refusals:
            raise RuntimeError(self.refusals.pop(0))
        return cast("Client", self.client)


class FakeWorker:
    is_running = True
    client: Any = None


async def test_before_temporal_has_answered_it_says_why_and_tries_with_what_the_files_hold_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "api-key"
    key.write_text("first")
    server = Server("Failed client connect: Status { code: PermissionDenied, message: no }")
    connection = TemporalConnection({**ENVIRONMENT, "TEMPORAL_API_KEY_FILE": str(key)}, server.connect)
    told: list[str | None] = []

    async def pause(_: float) -> None:
        told.append(connection.problem)
        key.write_text("second")

    monkeypatch.setattr(temporal_connection.asyncio, "sleep", pause)
    await connection.connect()

    assert [access.api_key for access in server.asked] == ["first", "second"]
    assert "the API key or certificate is wrong" in str(told[0])
    assert connection.problem is None


async def test_a_worker_that_is_given_up_begins_again_when_temporal_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal_connection, "RETRY_SECONDS", 0.01)
    server = Server()
    connection = TemporalConnection(ENVIRONMENT, server.connect)
    await connection.connect()
    server.client.refuses = RPCStatusCode.UNAUTHENTICATED
    watching = asyncio.create_task(connection.watch())
    waiting = asyncio.create_task(connection.until_let_in("refused"))

    async with asyncio.timeout(10):
        await server.client.has_refused.wait()
    assert not waiting.done()
    server.client.refuses = None
    async with asyncio.timeout(10):
        await waiting

    assert connection.problem is None
    watching.cancel()


async def test_a_temporal_that_is_away_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls go on by themselves, and a pod that is not Ready would help nobody."""
    server = Server()
    connection = TemporalConnection(ENVIRONMENT, server.connect)
    await connection.connect()
    server.client.refuses = RPCStatusCode.UNAVAILABLE

    assert await connection._refusal() is None


async def test_the_worker_gets_every_client_that_replaces_its_own() -> None:
    server = Server()
    connection = TemporalConnection(ENVIRONMENT, server.connect)
    await connection.connect()
    worker, other = FakeWorker(), FakeClient()
    connection.serve(cast("Worker", worker))

    connection._replace(cast("Client", other))

    assert worker.client is other
    assert cast("object", connection.client) is other
