"""Finished orders go when their time has come, and nothing else does."""

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from cluster import ORDERS, Cluster
from kubernetes.aio import client, config
from temporalio.client import Client

from order_devstack.errors import CommandFailed
from order_devstack.stack import Stack
from order_operator.cluster.api import KubernetesApi
from order_operator.orders.classes import OrderClasses
from order_operator.orders.resource import OrderResource
from order_operator.orders.retention import Retention
from order_operator.orders.tracking import Finished
from order_operator.temporal.connection import TemporalConnection
from order_workflows.contract import workflow_id

PASSES = 20.0
"""Seconds in which an order that has expired is deleted, at the latest."""


def ledger_status(cluster: Cluster, uid: str) -> str:
    ledger = sqlite3.connect(f"file:{cluster.stack.root / 'data' / 'ledger.db'}?mode=ro", uri=True)
    try:
        (status,) = ledger.execute("SELECT status FROM orders WHERE uid = ?", (uid,)).fetchone()
    finally:
        ledger.close()
    return str(status)


def test_an_order_is_gone_after_its_time_and_the_ledger_keeps_it(cluster: Cluster) -> None:
    cluster.apply(ttlSecondsAfterFinished=1)
    uid = cluster.order()["metadata"]["uid"]

    cluster.until(lambda: cluster.order() == {})

    assert ledger_status(cluster, uid) == "Order Completed"
    assert cluster.charges()[uid] == (50_000, 0)


def test_an_operator_that_comes_back_deletes_what_expired_meanwhile(cluster: Cluster) -> None:
    cluster.apply()
    cluster.reaches("Completed")
    cluster.stack.stop("operator")
    cluster.patch("order", ttlSecondsAfterFinished=1)

    cluster.stack.up()

    cluster.until(lambda: cluster.order() == {})


def test_a_class_edited_later_holds_for_the_orders_that_are_there(cluster: Cluster) -> None:
    order_class = {
        "apiVersion": "order-platform.dev/v1alpha1",
        "kind": "OrderClass",
        "metadata": {"name": f"brief-{cluster.namespace}"},
        "spec": {"pipeline": ["Receive", "Validate"]},
    }
    cluster.create(order_class)
    for name in ("first", "second", "third"):
        cluster.apply(name, className=f"brief-{cluster.namespace}")
        cluster.reaches("Completed", name)
    cluster.kubectl("label", ORDERS, "first", "seen=true")  # another version of it, and nothing to reconcile

    cluster.create({**order_class, "spec": {"pipeline": ["Receive", "Validate"], "historyLimit": 1}})

    names = ("get", ORDERS, "--output=jsonpath={.items[*].metadata.name}")
    cluster.until(lambda: cluster.kubectl(*names).split() == ["third"], PASSES)


@pytest.fixture(scope="module")
def api(servers: Stack) -> Stack:
    """With the CRDs, and no operator that would act."""
    servers.install_charts()
    return servers


@pytest.fixture
async def cluster_api(api: Stack) -> AsyncIterator[KubernetesApi]:
    await config.load_kube_config(config_file=str(api.kubeconfig))
    async with client.ApiClient() as api_client:
        yield KubernetesApi(api_client)


@pytest.fixture
def name(api: Stack) -> Iterator[str]:
    """Of an order that exists until the end of the test, at the latest."""
    name = f"order-{uuid.uuid4().hex[:8]}"
    spec = {
        "customer": {"id": "CUST-1"},
        "currency": "USD",
        "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 100}],
        "shippingAddress": {"name": "A", "line1": "1 B", "city": "C", "postalCode": "1", "country": "US"},
        "payment": {"method": "tok_visa"},
    }
    order = {"apiVersion": "order-platform.dev/v1alpha1", "kind": "Order", "metadata": {"name": name}, "spec": spec}
    api.kubectl("create", "--filename=-", input=json.dumps(order))
    yield name
    api.kubectl("delete", ORDERS, name, "--ignore-not-found", "--timeout=20s")


def is_there(api: Stack, name: str) -> bool:
    try:
        api.kubectl("get", ORDERS, name)
    except CommandFailed:
        return False
    return True


async def connected(api: Stack) -> TemporalConnection:
    connection = TemporalConnection(await Client.connect(api.addresses["temporal"]), create_search_attributes=True)
    connection.problem = None
    return connection


def expired_long_ago(order: OrderResource) -> tuple[OrderResource, Finished]:
    return order, Finished(fingerprint="", at=0.0, class_name=None, ttl_seconds=0)


async def one_pass(api: Stack, cluster_api: KubernetesApi, order: OrderResource) -> None:
    finished = [expired_long_ago(order)]
    retention = Retention(cluster_api, await connected(api), OrderClasses(), lambda: finished)
    await asyncio.wait_for(retention.take(time.time()), PASSES)


async def the_order(cluster_api: KubernetesApi, name: str) -> OrderResource:
    return OrderResource.from_body(await cluster_api.get(OrderResource.plural, "default", name))


async def test_an_expired_order_without_a_workflow_is_deleted(
    api: Stack, cluster_api: KubernetesApi, name: str
) -> None:
    await one_pass(api, cluster_api, await the_order(cluster_api, name))

    assert not is_there(api, name)


async def test_an_order_that_changed_since_is_not_deleted(api: Stack, cluster_api: KubernetesApi, name: str) -> None:
    before = await the_order(cluster_api, name)
    api.kubectl("label", ORDERS, name, "kept=true")

    await one_pass(api, cluster_api, before)

    assert is_there(api, name)


async def test_an_order_whose_workflow_runs_is_not_deleted_whatever_its_status_says(
    api: Stack, cluster_api: KubernetesApi, name: str
) -> None:
    order = await the_order(cluster_api, name)
    temporal = (await connected(api)).client
    workflow = await temporal.start_workflow(
        "OrderWorkflow", id=workflow_id("default", name, order.uid), task_queue="nobody-listens"
    )

    await one_pass(api, cluster_api, order)
    kept = is_there(api, name)
    await workflow.terminate()
    await one_pass(api, cluster_api, order)

    assert kept
    assert not is_there(api, name)
