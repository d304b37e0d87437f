"""Two operators and one Lease on a real API server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import count

import pytest
from kubernetes.aio import client, config

from order_devstack.stack import Stack
from order_operator.cluster.leadership import Leadership

LEASE = "order-platform-operator"
_namespaces = count(1)


@pytest.fixture
async def api(servers: Stack) -> AsyncIterator[client.ApiClient]:
    await config.load_kube_config(config_file=str(servers.kubeconfig))  # type: ignore[no-untyped-call]
    async with client.ApiClient() as connection:
        yield connection


@pytest.fixture
def namespace(servers: Stack) -> str:
    name = f"leases-{next(_namespaces)}"
    servers.kubectl("create", "namespace", name)
    return name


async def test_the_first_candidate_leads(api: client.ApiClient, namespace: str) -> None:
    await asyncio.wait_for(Leadership(api, namespace, LEASE, "first").acquire(), timeout=10)


async def test_a_second_candidate_waits_while_the_leader_renews(api: client.ApiClient, namespace: str) -> None:
    first, second = Leadership(api, namespace, LEASE, "first"), Leadership(api, namespace, LEASE, "second")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(second.acquire(), timeout=5)

    assert not second.leads
    assert not holding.done()
    holding.cancel()


async def test_a_leader_that_exits_is_followed_at_once(api: client.ApiClient, namespace: str) -> None:
    first, second = Leadership(api, namespace, LEASE, "first"), Leadership(api, namespace, LEASE, "second")
    await first.acquire()

    await first.release()

    await asyncio.wait_for(second.acquire(), timeout=5)


async def test_a_process_that_comes_back_under_its_name_leads_at_once(api: client.ApiClient, namespace: str) -> None:
    await Leadership(api, namespace, LEASE, "pod-1").acquire()

    await asyncio.wait_for(Leadership(api, namespace, LEASE, "pod-1").acquire(), timeout=5)


async def test_nobody_releases_the_lease_of_another(api: client.ApiClient, namespace: str) -> None:
    first, second = Leadership(api, namespace, LEASE, "first"), Leadership(api, namespace, LEASE, "second")
    await first.acquire()

    await second.release()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.acquire(), timeout=3)


async def test_a_dead_leader_is_followed_when_its_lease_has_run_out(api: client.ApiClient, namespace: str) -> None:
    await Leadership(api, namespace, LEASE, "first").acquire()

    await asyncio.wait_for(Leadership(api, namespace, LEASE, "second").acquire(), timeout=20)


async def test_two_releases_in_one_namespace_lead_side_by_side(api: client.ApiClient, namespace: str) -> None:
    await Leadership(api, namespace, "shop-a-operator", "first").acquire()

    await asyncio.wait_for(Leadership(api, namespace, "shop-b-operator", "second").acquire(), timeout=5)
