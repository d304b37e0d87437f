"""How long a process may act on its Lease, with a scripted clock and API server."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from kubernetes.aio import client

from order_operator.cluster import leadership
from order_operator.cluster.leadership import (
    CLOCKS_APART,
    LEASE_DURATION_SECONDS,
    ORDERS_LOST_ANNOTATION,
    RENEW_DEADLINE_SECONDS,
    UNWATCHED_SECONDS,
    Leadership,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """One Lease. `fail` and `hang` say what the next calls do."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lease: client.V1Lease | None = None
        self.version = 0
        self.fail = False
        self.hang = False
        self.calls = 0

    async def _answer(self) -> None:
        self.calls += 1
        if self.hang:
            await asyncio.Event().wait()
        if self.fail:
            raise client.ApiException(status=503, reason="Service Unavailable")

    async def read_namespaced_lease(self, *_: object) -> client.V1Lease:
        await self._answer()
        if self.lease is None:
            raise client.ApiException(status=404)
        return client.V1Lease(
            metadata=client.V1ObjectMeta(
                resource_version=str(self.version), annotations=self.lease.metadata and self.lease.metadata.annotations
            ),
            spec=client.V1LeaseSpec(**{key: getattr(self.lease.spec, key) for key in _FIELDS}),
        )

    async def create_namespaced_lease(self, _namespace: str, body: client.V1Lease) -> None:
        if self.lease is not None:
            raise client.ApiException(status=409)
        await self._write(body)

    async def replace_namespaced_lease(self, _name: str, _namespace: str, body: client.V1Lease) -> None:
        if body.metadata.resource_version not in (None, str(self.version)):
            raise client.ApiException(status=409)
        await self._write(body)

    async def _write(self, body: client.V1Lease) -> None:
        await self._answer()
        self.version += 1
        self.lease = body


_FIELDS = ("holder_identity", "lease_duration_seconds", "acquire_time", "renew_time", "lease_transitions")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sleeping moves it on."""
    clock = Clock()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real(0)

    monkeypatch.setattr(leadership.asyncio, "sleep", sleep)
    monkeypatch.setattr(leadership, "CALL_SECONDS", 0.02)
    return clock


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(clock)


def a_candidate(leases: Leases, identity: str = "first") -> Leadership:
    candidate = Leadership(cast("Any", None), "shop", "operator", identity, clock=leases.clock)
    candidate._leases = cast("Any", leases)
    return candidate


async def test_a_leader_that_cannot_renew_stops_at_the_deadline_counted_from_its_last_success(leases: Leases) -> None:
    leader = a_candidate(leases)
    await leader.acquire()
    acquired, leases.fail = leases.clock.now, True

    await leader.hold()

    assert not leader.leads
    assert leases.clock.now - acquired <= RENEW_DEADLINE_SECONDS < LEASE_DURATION_SECONDS


async def test_a_leader_whose_renewal_hangs_stops_at_the_deadline_too(leases: Leases) -> None:
    """B17: it acted up to 18 s after its last renewal, of a Lease of 15 s."""
    leader = a_candidate(leases)
    await leader.acquire()
    acquired, leases.hang = leases.clock.now, True

    await asyncio.wait_for(leader.hold(), 5)

    assert leases.clock.now - acquired <= RENEW_DEADLINE_SECONDS


async def test_a_leader_that_sees_another_one_stops_at_once(leases: Leases) -> None:
    leader = a_candidate(leases)
    await leader.acquire()
    assert leases.lease is not None
    leases.lease.spec.holder_identity = "second"
    leases.version += 1
    before = leases.clock.now

    await leader.hold()

    assert not leader.leads
    assert leases.clock.now - before <= leadership.RETRY_SECONDS


async def test_a_process_that_was_frozen_may_not_act_when_it_wakes(leases: Leases) -> None:
    leader = a_candidate(leases)
    await leader.acquire()
    assert leader.leads

    leases.clock.now += RENEW_DEADLINE_SECONDS

    assert not leader.leads


async def test_a_candidate_whose_connection_hangs_goes_on_trying(leases: Leases) -> None:
    """B16: a black-holed connection held a failover up for five minutes."""
    candidate = a_candidate(leases)
    leases.hang = True
    acquiring = asyncio.create_task(candidate.acquire())
    while leases.calls < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)

    leases.hang = False

    await asyncio.wait_for(acquiring, 5)
    assert candidate.leads


async def test_a_candidate_that_cannot_read_the_lease_for_long_says_so(leases: Leases) -> None:
    candidate = a_candidate(leases)
    assert candidate.problem is None
    leases.fail = True
    acquiring = asyncio.create_task(candidate.acquire())

    while candidate.problem is None:  # noqa: ASYNC110
        await asyncio.sleep(0)

    assert "shop/operator" in candidate.problem
    assert "503" in candidate.problem
    leases.fail = False
    await asyncio.wait_for(acquiring, 5)
    assert candidate.problem is None


async def test_a_leader_that_gave_the_lease_back_may_not_act(leases: Leases) -> None:
    leader = a_candidate(leases)
    await leader.acquire()

    await leader.release()

    assert not leader.leads
    second = a_candidate(leases, "second")
    await asyncio.wait_for(second.acquire(), 5)
    assert second.leads


async def test_a_candidate_looks_every_second(leases: Leases) -> None:
    """B19: who had just looked when the Lease was given back waited for two."""
    await a_candidate(leases).acquire()
    began, calls = leases.clock.now, leases.calls
    acquiring = asyncio.create_task(a_candidate(leases, "second").acquire())

    while leases.calls < calls + 10:  # noqa: ASYNC110
        await asyncio.sleep(0)

    assert leases.clock.now - began <= 10
    acquiring.cancel()


async def test_a_candidate_says_once_behind_whom_it_stands_by(leases: Leases, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "order_operator")
    leader, candidate = a_candidate(leases), a_candidate(leases, "second")
    await leader.acquire()
    acquiring = asyncio.create_task(candidate.acquire())
    while leases.calls < 8:  # noqa: ASYNC110 - the candidate has looked several times
        await asyncio.sleep(0)
    await leader.release()
    await asyncio.wait_for(acquiring, 5)

    told = [record for record in caplog.records if record.message == "standing by"]
    assert [record.__dict__["leader"] for record in told] == ["first"]


async def test_what_a_leader_keeps_reaches_the_next_one_and_takes_nothing_off_the_lease(leases: Leases) -> None:
    first, second = a_candidate(leases), a_candidate(leases, "second")
    await first.acquire()
    assert leases.lease is not None
    leases.lease.metadata.annotations["team"] = "shop"

    first.keep_orders_lost_at("2126-01-02T03:04:05+00:00")
    await first.release()
    await second.acquire()

    assert second.orders_lost_at == "2126-01-02T03:04:05+00:00"
    assert leases.lease.metadata.annotations["team"] == "shop"


async def test_a_leader_whose_lease_is_new_does_not_know_that_nothing_was_lost(leases: Leases) -> None:
    leader = a_candidate(leases)

    await leader.acquire()

    assert leader.orders_lost_at is not None


async def test_a_candidate_that_was_late_takes_no_later_loss_off_the_lease(leases: Leases) -> None:
    """Both had read that there is no Lease; the slower one led months later, and wrote the moment of its first try."""
    leader, late = a_candidate(leases, "leader"), a_candidate(leases, "late")
    read = leases.read_namespaced_lease
    both = asyncio.Barrier(2)

    async def together(*of: object) -> client.V1Lease:
        try:
            return await read(*of)
        finally:
            await both.wait()

    leases.read_namespaced_lease = together  # type: ignore[method-assign]
    won = await asyncio.gather(leader._attempt(1), late._attempt(1))
    assert sorted(won) == [False, True]
    leases.read_namespaced_lease = read  # type: ignore[method-assign]
    if won[1]:
        leader, late = late, leader
    lost_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    leader.keep_orders_lost_at(lost_at)
    await leader.release()

    await late.acquire()

    assert late.orders_lost_at == lost_at


@pytest.mark.parametrize("identity", ["first", "second"])
async def test_a_lease_that_nobody_renewed_for_long_tells_that_orders_may_be_lost(
    leases: Leases, identity: str
) -> None:
    """etcd was restored: the leader had ended while the API server was away, and the next one found the old Lease."""
    await a_candidate(leases).acquire()
    assert leases.lease is not None
    leases.lease.spec.renew_time -= timedelta(seconds=UNWATCHED_SECONDS + 1)
    del leases.lease.metadata.annotations[ORDERS_LOST_ANNOTATION]

    following = a_candidate(leases, identity)
    before = datetime.now(UTC)
    await following.acquire()

    kept = following.orders_lost_at
    assert kept is not None
    assert datetime.fromisoformat(kept) >= before + CLOCKS_APART  # orders begin by Temporal's clock


@pytest.mark.parametrize("given_back", [True, False])
async def test_a_plain_change_of_leaders_loses_no_orders(leases: Leases, given_back: bool) -> None:
    """Nor does one after a maintenance for which the operators were told to stop."""
    first, second = a_candidate(leases), a_candidate(leases, "second")
    await first.acquire()
    known = first.orders_lost_at
    assert leases.lease is not None
    if given_back:
        await first.release()
        leases.lease.spec.renew_time -= timedelta(days=1)

    await second.acquire()

    assert second.orders_lost_at == known


async def test_what_cannot_be_read_as_a_moment_stays_on_the_lease(leases: Leases) -> None:
    """Its reader takes it that orders are missing now."""
    first, second = a_candidate(leases), a_candidate(leases, "second")
    await first.acquire()
    assert leases.lease is not None
    await first.release()
    leases.lease.metadata.annotations[ORDERS_LOST_ANNOTATION] = "yesterday"
    second.keep_orders_lost_at("2026-11-28T10:00:00+00:00")

    await second.acquire()

    assert second.orders_lost_at == "yesterday"


async def test_a_loss_that_somebody_takes_off_the_lease_is_written_again(leases: Leases) -> None:
    leader = a_candidate(leases)
    await leader.acquire()
    assert leases.lease is not None
    kept = leases.lease.metadata.annotations.pop(ORDERS_LOST_ANNOTATION)

    await leader._attempt(1)

    assert leases.lease.metadata.annotations[ORDERS_LOST_ANNOTATION] == kept
