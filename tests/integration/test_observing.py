"""What the operator sees in Temporal whatever its own clock says, and whatever else is listed there."""

import asyncio
import dataclasses
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster import Cluster
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.converter import PayloadCodec
from temporalio.converter import default as default_converter

from order_operator.temporal.scanner import changed_since
from order_workflows.contract import MEMO_INPUT_HASH, MEMO_SNAPSHOT, ORDER_CLUSTER, WORKFLOW_TYPE

SECONDS = 15.0
"""An end is shown within one; the rest is for a machine that does much else."""
SKEW = timedelta(minutes=10)
"""Far more than both windows overlap."""

OTHER_CLOCK = """
import datetime, time

SECONDS = {seconds}
real, real_time = datetime.datetime, time.time


class Kind(type(real)):
    def __instancecheck__(cls, instance):
        return isinstance(instance, real)


class Shifted(real, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=SECONDS)


datetime.datetime, time.time = Shifted, lambda: real_time() + SECONDS
"""
"""A `sitecustomize` module: Python reads it before anything else."""


@pytest.mark.parametrize("skew", [SKEW, -SKEW], ids=["ahead", "behind"])
def test_an_operator_whose_clock_is_ten_minutes_off_shows_an_end_within_seconds(
    skew: timedelta, cluster: Cluster, tmp_path: Path
) -> None:
    """B15: more than a minute ahead, it saw an end in the full scan only, each quarter of an hour."""
    (tmp_path / "sitecustomize.py").write_text(OTHER_CLOCK.format(seconds=skew.total_seconds()))
    cluster.stack.stop("operator")
    cluster.stack.with_environment({"operator": {"PYTHONPATH": str(tmp_path)}}).start("operator")
    try:
        cluster.apply(total=150_000)
        cluster.eventually(lambda s: s.get("phase") == "Waiting", seconds=SECONDS)
        shown = datetime.fromisoformat(cluster.condition("Ready")["lastTransitionTime"])
        assert abs(shown - (datetime.now(UTC) + skew)) < SKEW / 2, "its clock is right"

        cluster.patch("order", approval={"decision": "Approved", "by": "maria"})

        cluster.eventually(lambda s: s.get("phase") == "Completed", seconds=SECONDS)
    finally:
        cluster.stack.stop("operator")


class Encrypting(PayloadCodec):
    """The operator has no key."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"binary/encrypted"}, data=each.data[::-1]) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        raise NotImplementedError


async def an_encrypted_workflow(cluster: Cluster, like: str) -> WorkflowHandle[object, object]:
    """One that looks like an order's by everything but its memo; `like`: workflow id of an order, whose mark it has."""
    address = cluster.stack.addresses["temporal"]
    mark = (await (await Client.connect(address)).get_workflow_handle(like).describe()).typed_search_attributes
    converter = dataclasses.replace(default_converter(), payload_codec=Encrypting())
    client = await Client.connect(address, data_converter=converter)
    return await client.start_workflow(
        WORKFLOW_TYPE,
        id=f"order/{cluster.namespace}/foreign/{uuid.uuid4()}",
        task_queue="of-nobody",
        memo={MEMO_SNAPSHOT: {"seq": 1}, MEMO_INPUT_HASH: "hash"},
        search_attributes=TypedSearchAttributes([SearchAttributePair(ORDER_CLUSTER, mark[ORDER_CLUSTER])]),
    )


async def test_a_foreign_workflow_with_an_encrypted_memo_harms_no_order(cluster: Cluster) -> None:
    cluster.apply("before")
    like = cluster.reaches("Completed", "before")["workflow"]["id"]
    process = cluster.stack.pid("operator")
    foreign = await an_encrypted_workflow(cluster, like)
    try:
        # Both ways in which the operator comes across it: in a window, and in the full scan of its next life.
        await asyncio.to_thread(cluster.until, lambda: cluster.undecodable_rows() > 0)
        cluster.apply("beside")
        await asyncio.to_thread(cluster.reaches, "Completed", "beside")
        assert cluster.stack.pid("operator") == process
        cluster.stack.kill("operator")
        cluster.stack.up()
        await asyncio.to_thread(cluster.until, lambda: cluster.scans("full") > 0)
        process = cluster.stack.pid("operator")
        cluster.apply("after")
        await asyncio.to_thread(cluster.reaches, "Completed", "after")
        assert cluster.undecodable_rows() > 0
        assert cluster.stack.pid("operator") == process
    finally:
        await foreign.terminate()


async def test_an_open_run_that_publishes_nothing_is_listed_no_more(cluster: Cluster) -> None:
    """Each scan listed all orders that waited, twice a second: a burst of 600 was shown up to 40 s late."""
    cluster.apply(total=150_000)
    waiting = cluster.reaches("Waiting")["workflow"]["id"]
    client = await Client.connect(cluster.stack.addresses["temporal"])

    async def listed(since: datetime) -> list[str]:
        return [run.id async for run in client.list_workflows(f"WorkflowId = '{waiting}' AND ({changed_since(since)})")]

    assert await listed(datetime.now(UTC) - timedelta(hours=1)) == [waiting]
    assert await listed(datetime.now(UTC) + timedelta(hours=1)) == []
