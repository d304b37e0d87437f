"""Asking again. A Job that has just started may find no way to a server: a new ClusterIP takes a second or two."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from kubernetes.aio import client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.api import message
from order_operator.settings import one_line
from order_process.temporal_refusals import refusal

PAUSE_SECONDS = 1.0

_PASSING = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)

T = TypeVar("T")


class Patience:
    """Time that a command has in all."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def ended(self) -> bool:
        """Whether it is used up."""
        return time.monotonic() >= self._until

    async def pause(self) -> None:
        """Before the next attempt."""
        await asyncio.sleep(PAUSE_SECONDS)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` answers, asked again while the server does not answer. Raises what it raises in the end."""
        while True:
            try:
                return await call()
            except (RPCError, RuntimeError, client.ApiException, aiohttp.ClientError, OSError) as failed:
                if self.ended or not _passes(failed):
                    raise
            await self.pause()


def told(failed: Exception) -> str:
    """Of a failure, in one line."""
    return message(failed) if isinstance(failed, client.ApiException) else refusal(failed) or one_line(failed)


def _passes(failed: Exception) -> bool:
    if isinstance(failed, RPCError):
        return failed.status in _PASSING
    if isinstance(failed, client.ApiException):
        return failed.status is None or failed.status == 429 or failed.status >= 500
    return True
