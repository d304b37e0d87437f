"""The worker's connection to Temporal while it runs: certificates and keys that are replaced, and a Temporal that lets
the worker in no more, and later does again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from order_process import temporal_access
from order_process.credential_expiry import Tell
from order_process.temporal_access import Access
from order_process.temporal_refusals import refusal
from order_process.temporal_rotation import Rotation

LOG = logging.getLogger(__name__)

RECONNECT_CAP_SECONDS = 10.0
"""Longest pause between two attempts to reach Temporal."""
CHECK_SECONDS = 10.0
"""How often a worker that polls asks whether it is let in: its polls wait a minute, and may end in silence."""
RETRY_SECONDS = 2.0
RPC_SECONDS = 5.0

Connect = Callable[[Access], Awaitable[Client]]


class TemporalConnection:
    """Holds the client, and why Temporal does not let it in, if it does not."""

    def __init__(
        self, environment: Mapping[str, str], connect: Connect, tell_end: Tell = lambda _credential, _ends: None
    ) -> None:
        """`tell_end`: told when the credentials in place end. Raises SettingsError."""
        self._environment = environment
        self._connect = connect
        self._tell_end = tell_end
        self._access = temporal_access.read(environment)
        self._client: Client | None = None
        self._rotation: Rotation | None = None
        self._worker: Worker | None = None
        self._check_now = asyncio.Event()
        self._let_in = asyncio.Event()
        self.problem: str | None = "Temporal has not answered yet"

    @property
    def client(self) -> Client:
        """The one of now; it may be replaced while the worker runs, so keep it no longer than a call."""
        assert self._client is not None
        return self._client

    async def connect(self) -> None:
        """Try until Temporal answers, each time with what the files hold then. Raises SettingsError."""
        pause = 0.5
        while True:
            try:
                self._access = temporal_access.read(self._environment)
                self._client = await self._connect(self._access)
                break
            except RuntimeError as failed:
                self.problem = (
                    self._access.flaw or refusal(failed) or f"Temporal at {self._access.address} does not answer"
                )
                LOG.warning("%s; trying on: %s", self.problem, failed)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_CAP_SECONDS)
        self._rotation = Rotation(self._environment, self._access, self._connect, self._replace)
        self._rotation.changed = self._check_now.set
        self._rotation.tell_end = self._tell_end
        self.problem = None

    @property
    def polls(self) -> bool:
        """Whether the worker is at work."""
        return self._worker is not None and self._worker.is_running

    def serve(self, worker: Worker) -> None:
        """Give the worker every client that replaces its own."""
        self._worker = worker

    def _replace(self, client: Client) -> None:
        self._client = client
        if self._worker is not None and self.polls:
            self._worker.client = client

    async def watch(self) -> None:
        """Take over what is replaced, and keep `problem` true to the facts, until cancelled. After `connect`."""
        assert self._rotation is not None
        async with asyncio.TaskGroup() as both:
            both.create_task(self._rotation.watch(lambda: self.client))
            both.create_task(self._ask())

    async def _ask(self) -> None:
        while True:
            self._note(await self._refusal())
            self._check_now.clear()
            try:
                async with asyncio.timeout(CHECK_SECONDS if self.problem is None else RETRY_SECONDS):
                    await self._check_now.wait()
            except TimeoutError:
                continue

    async def _refusal(self) -> str | None:
        """What was known before, while Temporal does not answer at all: polls go on by themselves then."""
        assert self._rotation is not None
        request = DescribeNamespaceRequest(namespace=self.client.namespace)
        try:
            async with asyncio.timeout(RPC_SECONDS):
                await self.client.workflow_service.describe_namespace(request)
        except (RPCError, RuntimeError, TimeoutError) as failed:
            return self._rotation.problem or refusal(failed) or self.problem
        return None

    def _note(self, problem: str | None) -> None:
        if problem is None:
            self._let_in.set()
        else:
            self._let_in.clear()
        if problem != self.problem:
            if problem is None:
                LOG.info("Temporal lets the worker in again")
            else:
                LOG.warning("orders wait: %s", problem)
        self.problem = problem

    async def until_let_in(self, problem: str) -> None:
        """Wait until Temporal, which has just ended the worker with `problem`, takes its calls again."""
        self._note(problem)
        self._check_now.set()
        await self._let_in.wait()
