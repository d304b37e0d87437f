"""One operator acts at a time: a Lease, renewed every 2 s, lost after 10 s without renewal, taken over after 15 s.

The client library's own election is not used: it dies of a refused connection, trusts other machines' clocks and does
not give the Lease back on exit (docs/decisions/0006-own-lease-election.md).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import aiohttp
from kubernetes.aio import client

from order_domain import moments
from order_operator.cluster.api_names import GROUP
from order_operator.cluster.neighbours import OPERATOR_LABEL, WATCHES_ANNOTATION, watched

LEASE_DURATION_SECONDS = 15
RENEW_DEADLINE_SECONDS = 10
RETRY_SECONDS = 2
CANDIDATE_SECONDS = 1.0
"""How often a candidate looks whether the Lease is free: one that is given back is taken within this time."""
CALL_SECONDS = 4.0
"""For one attempt of two requests. A connection that answers nothing holds up a candidate no longer than this."""
ORDERS_LOST_ANNOTATION = f"{GROUP}/orders-lost-at"
"""Of the Lease: when orders were last found to be missing that cannot have gone by themselves (RFC 3339)."""
UNWATCHED_SECONDS = 60.0
"""A Lease that was not given back and is older tells of no plain failover, which takes 25 s at most. The API server was
away, or etcd was restored: orders may be missing that no operator saw go."""
CLOCKS_APART = timedelta(minutes=10)
"""How far Temporal's clock, by which orders begin, may be ahead of ours."""
SILENT_SECONDS = 30.0
"""A candidate that could not read the Lease for so long says that it is not ready."""

logger = logging.getLogger(__name__)


def running_clock() -> float:
    """Seconds that go on while the machine sleeps, which the monotonic clock of Linux does not count."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership:
    """Acquire with `acquire`, then keep with `hold`, which returns when the leadership is lost."""

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = running_clock,
        *,
        watches: Sequence[str] = (),
    ) -> None:
        """`watches`: the namespaces that this operator watches, none for all: told to other installations."""
        self._leases = client.CoordinationV1Api(api)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._watches = watched(watches)
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._answered = clock()
        self._trouble = ""
        self._leader = ""
        self._orders_lost_at: str | None = None
        self._renewed: float | None = None
        """Start of the attempt that renewed last; None while another process leads."""

    @property
    def leads(self) -> bool:
        """Whether this process may act. False in time before another one may lead: also after a sleep of the process in
        which it could not renew."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE_SECONDS

    @property
    def orders_lost_at(self) -> str | None:
        """What the Lease keeps of a loss of orders for the next process that leads, whoever wrote it (RFC 3339)."""
        return self._orders_lost_at

    def keep_orders_lost_at(self, moment: str) -> None:
        """Have it written with the next renewal, or when the Lease is given back."""
        self._orders_lost_at = moment

    @property
    def problem(self) -> str | None:
        """Why this process could not become the leader if it had to; None if it could."""
        if self._clock() - self._answered < SILENT_SECONDS:
            return None
        return f"the Lease {self._namespace}/{self._name} cannot be read or written: {self._trouble}"

    async def acquire(self) -> None:
        """Return when this process leads."""
        told = False
        while not await self._attempt(CALL_SECONDS):
            if self._leader and not told:
                logger.info("standing by", extra={"leader": self._leader, "lease": self._name})
                told = True
            await asyncio.sleep(CANDIDATE_SECONDS)
        logger.info("leading", extra={"identity": self._identity, "lease": self._name})

    async def hold(self) -> None:
        """Renew until that was impossible for `RENEW_DEADLINE_SECONDS`, counted from the start of the last attempt that
        succeeded, or until somebody else leads."""
        while (left := self._left()) > 0:
            await asyncio.sleep(min(RETRY_SECONDS, left))
            if self._left() > 0:
                await self._attempt(min(CALL_SECONDS, self._left()))

    async def release(self) -> None:
        """Let the next one lead at once; only if this process leads."""
        self._renewed = None
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                while not await self._give_back():
                    pass
        except (client.ApiException, aiohttp.ClientError, OSError, ValueError, TimeoutError) as failed:
            trouble = str(failed) or type(failed).__name__
            logger.warning("lease not released, it has to run out", extra={"lease": self._name, "error": trouble})

    async def _give_back(self) -> bool:
        """False if a renewal of our own, given up meanwhile, wrote the Lease after it was read."""
        try:
            lease = await self._leases.read_namespaced_lease(self._name, self._namespace)
            if lease.spec is not None and lease.spec.holder_identity == self._identity:
                self._annotate(lease)
                lease.spec.holder_identity = ""
                lease.spec.lease_duration_seconds = 1
                await self._leases.replace_namespaced_lease(self._name, self._namespace, lease)
        except client.ApiException as refused:
            if refused.status == 409:
                return False
            if refused.status != 404:
                raise
        return True

    def _left(self) -> float:
        """Seconds until this process may not act any more unless it renews."""
        return 0.0 if self._renewed is None else self._renewed + RENEW_DEADLINE_SECONDS - self._clock()

    async def _attempt(self, seconds: float) -> bool:
        trouble = ""
        try:
            async with asyncio.timeout(seconds):
                leads = await self._take_or_renew()
        except client.ApiException as refused:
            if refused.status == 409:  # another candidate was quicker
                self._answered = self._clock()
            else:
                trouble = f"{refused.status} {refused.reason}"
        except TimeoutError:
            trouble = f"no answer within {seconds:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as lost:  # the last: an answer that is cut off, or no Lease
            trouble = str(lost) or type(lost).__name__
        else:
            self._trouble = ""
            return leads
        if trouble and trouble != self._trouble:
            logger.warning("lease not written", extra={"lease": self._name, "error": trouble})
        self._trouble = trouble
        return False

    async def _take_or_renew(self) -> bool:
        attempted = self._clock()
        now = datetime.now(UTC)
        mine = client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=LEASE_DURATION_SECONDS,
            acquire_time=now,
            renew_time=now,
            lease_transitions=0,
        )
        try:
            lease = await self._leases.read_namespaced_lease(self._name, self._namespace)
        except client.ApiException as missing:
            if missing.status != 404:
                raise
            # What an earlier Lease had kept is lost with it: nobody knows whether orders were missing before now.
            body = client.V1Lease(metadata=client.V1ObjectMeta(name=self._name), spec=mine)
            lost_at = self._annotate(body, unwatched_until=now + CLOCKS_APART)
            await self._leases.create_namespaced_lease(self._namespace, body)
        else:
            held = lease.spec or client.V1LeaseSpec()
            if held.holder_identity == self._identity:
                mine.acquire_time, mine.lease_transitions = held.acquire_time, held.lease_transitions
            elif held.holder_identity and not self._expired(lease, held):
                self._renewed, self._answered = None, self._clock()
                self._leader = held.holder_identity
                return False
            else:
                mine.lease_transitions = (held.lease_transitions or 0) + 1
            unwatched_until = now + CLOCKS_APART if self._was_unwatched(held, now) else None
            lost_at = self._annotate(lease, unwatched_until=unwatched_until)
            lease.spec = mine
            await self._leases.replace_namespaced_lease(self._name, self._namespace, lease)
        self._orders_lost_at = _latest(lost_at, self._orders_lost_at)  # a later one may have been kept meanwhile
        self._renewed = attempted
        self._answered = self._clock()
        return True

    def _was_unwatched(self, held: client.V1LeaseSpec, now: datetime) -> bool:
        """Whether orders may have gone since `held` was renewed, and nobody led who would have seen it. Where two
        operators' clocks are apart each failover looks so, which costs a person a look and no order."""
        if self._renewed is not None or not held.holder_identity or held.renew_time is None:
            return False
        silent = abs((now - held.renew_time).total_seconds())
        if silent <= UNWATCHED_SECONDS:
            return False
        logger.warning(
            "the Lease was not renewed for long: workflows whose order is gone are reported, and not cancelled",
            extra={"lease": self._name, "seconds": round(silent)},
        )
        return True

    def _annotate(self, lease: client.V1Lease, *, unwatched_until: datetime | None = None) -> str | None:
        """The latest loss of orders that the Lease or this process knows of, which is kept once this is written."""
        lease.metadata = lease.metadata or client.V1ObjectMeta(name=self._name)
        found = dict(lease.metadata.annotations or {})
        unseen = unwatched_until.isoformat() if unwatched_until is not None else None
        lost_at = _latest(found.get(ORDERS_LOST_ANNOTATION), unseen, self._orders_lost_at)
        loss = {ORDERS_LOST_ANNOTATION: lost_at} if lost_at is not None else {}
        lease.metadata.annotations = {**found, WATCHES_ANNOTATION: self._watches, **loss}
        lease.metadata.labels = {**(lease.metadata.labels or {}), OPERATOR_LABEL: "true"}
        return lost_at

    def _expired(self, lease: client.V1Lease, held: client.V1LeaseSpec) -> bool:
        """Measured on our own clock since we last saw the Lease change, so that no two clocks are compared."""
        version = str(lease.metadata.resource_version) if lease.metadata else ""
        if self._seen[0] != version:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] > (held.lease_duration_seconds or LEASE_DURATION_SECONDS)


def _latest(*known: str | None) -> str | None:
    """Of these moments. What cannot be read counts as the latest: its reader makes the present of it."""

    def when(text: str) -> datetime:
        return moments.read(text) or datetime.max.replace(tzinfo=UTC)

    return max((text for text in known if text is not None), key=when, default=None)
