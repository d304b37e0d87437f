"""One operator acts at a time: a Lease, renewed every 2 s, lost after 10 s without renewal, taken over after 15 s.

The client library's own election is not used: it dies of a refused connection, trusts other machines' clocks and does
not give the Lease back on exit (docs/decisions/0006-own-lease-election.md).
"""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
from kubernetes.aio import client

LEASE_NAME = "order-platform-operator"
LEASE_DURATION_SECONDS = 15
RENEW_DEADLINE_SECONDS = 10
RETRY_SECONDS = 2

logger = logging.getLogger(__name__)


class Leadership:
    """Acquire with `acquire`, then keep with `hold`, which returns when the leadership is lost."""

    def __init__(self, api: client.ApiClient, namespace: str, identity: str) -> None:
        self._leases = client.CoordinationV1Api(api)
        self._namespace = namespace
        self._identity = identity
        self._seen: tuple[str, float] = ("", 0.0)
        self.renewed = 0.0
        """Monotonic time of the last renewal."""

    async def acquire(self) -> None:
        """Return when this process leads."""
        while not await self._try():  # noqa: ASYNC110 - the Lease is another process's to release
            await asyncio.sleep(RETRY_SECONDS)
        logger.info("leading", extra={"identity": self._identity})

    async def hold(self) -> None:
        """Renew until that was impossible for `RENEW_DEADLINE_SECONDS` or somebody else leads."""
        while time.monotonic() - self.renewed < RENEW_DEADLINE_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_DEADLINE_SECONDS - RETRY_SECONDS):
                    await self._try()

    async def release(self) -> None:
        """Let the next one lead at once; only if this process leads."""
        with suppress(client.ApiException, aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                lease = await self._leases.read_namespaced_lease(LEASE_NAME, self._namespace)
                if lease.spec is not None and lease.spec.holder_identity == self._identity:
                    lease.spec.holder_identity = ""
                    lease.spec.lease_duration_seconds = 1
                    await self._leases.replace_namespaced_lease(LEASE_NAME, self._namespace, lease)

    async def _try(self) -> bool:
        try:
            return await self._take_or_renew()
        except client.ApiException as refused:
            if refused.status != 409:  # 409: another candidate was quicker
                logger.warning("lease not written", extra={"status": refused.status, "reason": refused.reason})
        except (aiohttp.ClientError, TimeoutError) as lost:
            logger.warning("lease not written", extra={"error": str(lost)})
        return False

    async def _take_or_renew(self) -> bool:
        attempted = time.monotonic()
        now = datetime.now(UTC)
        mine = client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=LEASE_DURATION_SECONDS,
            acquire_time=now,
            renew_time=now,
            lease_transitions=0,
        )
        try:
            lease = await self._leases.read_namespaced_lease(LEASE_NAME, self._namespace)
        except client.ApiException as missing:
            if missing.status != 404:
                raise
            body = client.V1Lease(metadata=client.V1ObjectMeta(name=LEASE_NAME), spec=mine)
            await self._leases.create_namespaced_lease(self._namespace, body)
        else:
            held = lease.spec or client.V1LeaseSpec()
            if held.holder_identity == self._identity:
                mine.acquire_time, mine.lease_transitions = held.acquire_time, held.lease_transitions
            elif held.holder_identity and not self._expired(lease, held):
                return False
            else:
                mine.lease_transitions = (held.lease_transitions or 0) + 1
            lease.spec = mine
            await self._leases.replace_namespaced_lease(LEASE_NAME, self._namespace, lease)
        self.renewed = attempted
        return True

    def _expired(self, lease: client.V1Lease, held: client.V1LeaseSpec) -> bool:
        """Measured on our own clock since we last saw the Lease change, so that no two clocks are compared."""
        version = str(lease.metadata.resource_version) if lease.metadata else ""
        if self._seen[0] != version:
            self._seen = (version, time.monotonic())
        return time.monotonic() - self._seen[1] > (held.lease_duration_seconds or LEASE_DURATION_SECONDS)
