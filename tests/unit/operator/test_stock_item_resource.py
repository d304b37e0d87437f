"""A StockItem and its workflow as they arrive at the operator."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from order_domain.stock_item import StockItemSpec, StockSnapshot
from order_operator.cluster.resource import InvalidSpec
from order_operator.stock_items.resource import StockItemResource
from order_operator.stock_items.run import MEMO_ITEM, StockRun, decode_stock
from order_workflows.contract import MEMO_STOCK_SNAPSHOT, MEMO_UID

SPEC = {"sku": "PROD-001", "initialOnHand": 1_000, "minimum": 5_000, "target": 10_000}
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_item(**spec: Any) -> StockItemResource:
    metadata = {"namespace": "shop", "name": "prod", "uid": "u1", "generation": 1, "resourceVersion": "7"}
    metadata["creationTimestamp"] = "2026-01-02T03:04:00Z"
    return StockItemResource.from_body({"metadata": metadata, "spec": {**SPEC, **spec}})


def test_a_valid_spec_is_read() -> None:
    wanted = StockItemSpec(sku="PROD-001", initial_on_hand=1_000, minimum=5_000, target=10_000)

    assert an_item().parse_spec() == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sku": "a/b"}, r"spec\.sku: "),
        ({"minimum": -1}, r"spec\.minimum: "),
        ({"target": 4_999}, "target must be at least minimum"),
        ({"target": None}, r"spec\.target: "),
    ],
    ids=str,
)
def test_a_spec_that_admission_did_not_check_is_refused_by_the_name_of_the_field(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message):
        an_item(**change).parse_spec()


@pytest.mark.parametrize(("sku", "read"), [("PROD-001", "PROD-001"), (7, ""), (None, "")])
def test_the_article_is_read_from_a_spec_that_is_otherwise_bad(sku: Any, read: str) -> None:
    assert an_item(sku=sku, target="much").sku == read


async def decoded(memo: dict[str, Any], workflow_id: str = "stock/PROD-001") -> StockRun | None:
    """What the operator makes of a row of visibility with this memo."""
    row = WorkflowExecutionInfo(status=1, task_queue="orders")
    row.execution.workflow_id = workflow_id
    row.execution.run_id = "run-1"
    row.start_time.CopyFrom(Timestamp(seconds=int(STARTED.timestamp())))
    for name, value in memo.items():
        (payload,) = await pydantic_data_converter.encode([value])
        row.memo.fields[name].CopyFrom(payload)
    # Never connects: decoding needs its converter only.
    client = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    return await decode_stock(client, row)


async def test_a_row_tells_whose_run_it_is_and_what_it_published() -> None:
    snapshot = StockSnapshot(seq=3, generation=1, on_hand=1, sold=999)

    run = await decoded({MEMO_UID: "u1", MEMO_ITEM: "shop/prod", MEMO_STOCK_SNAPSHOT: snapshot})

    assert run is not None
    assert (run.sku, run.owner, run.item, run.snapshot) == ("PROD-001", "u1", "shop/prod", snapshot)
    assert (run.run_id, run.start_time, run.running, run.unreadable) == ("run-1", STARTED, True, False)


async def test_a_row_without_a_memo_belongs_to_nobody() -> None:
    run = await decoded({})

    assert run is not None
    assert (run.owner, run.item, run.snapshot, run.unreadable) == (None, "", None, False)


@pytest.mark.parametrize("memo", [{"onHand": "much"}, "text", [1], None, {"version": 2}], ids=str)
async def test_a_snapshot_that_is_not_understood_is_not_guessed(memo: Any) -> None:
    run = await decoded({MEMO_STOCK_SNAPSHOT: memo})

    assert run is not None
    assert (run.snapshot, run.unreadable) == (None, True)


@pytest.mark.parametrize("workflow_id", ["order/shop/prod/u1", "stock/", "stock/a/b/c", "stock//b", "PROD-001"])
async def test_a_row_of_another_id_is_no_stock_items(workflow_id: str) -> None:
    assert await decoded({}, workflow_id) is None


def a_run(run_id: str, *, seq: int | None = None, minutes: int = 0, closed: bool = False) -> StockRun:
    return StockRun(
        sku="PROD-001",
        owner="u1",
        item="shop/prod",
        workflow_id="stock/PROD-001",
        run_id=run_id,
        status=WorkflowExecutionStatus.COMPLETED if closed else WorkflowExecutionStatus.RUNNING,
        task_queue="orders",
        start_time=STARTED + timedelta(minutes=minutes),
        snapshot=None if seq is None else StockSnapshot(seq=seq),
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (a_run("a"), a_run("a", seq=1)),
        (a_run("a", seq=1), a_run("a", seq=2)),
        (a_run("a", seq=2), a_run("a", seq=2, closed=True)),
        (a_run("a", seq=2, closed=True), a_run("b", minutes=1)),
    ],
    ids=["published", "changed", "ended", "started again"],
)
def test_what_was_true_earlier_does_not_come_back(earlier: StockRun, later: StockRun) -> None:
    assert earlier.precedes(later)
    assert not later.precedes(earlier)
    assert not later.precedes(later)


@pytest.mark.parametrize(("workflow_id", "former"), [("stock/PROD-001", True), ("stock/here/PROD-001", False)])
async def test_a_run_of_an_earlier_release_is_known_by_its_id(workflow_id: str, former: bool) -> None:
    run = await decoded({}, workflow_id)

    assert run is not None
    assert (run.sku, run.former) == ("PROD-001", former)
