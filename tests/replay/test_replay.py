"""Yesterday's orders, shipments and stock items run through today's workflow code, without a server.

A history that no longer replays means that orders in flight would be stuck by a release: keep the old path with
`workflow.patched`, and record the new one. `histories/<n>/` was recorded by the n-th generation of the workflow code
and never changes once the next exists; `pytest tests/workflow --record-histories` writes the newest anew.
`histories/once-accepted/` was recorded when the rules of content were fewer: country UK, blank and invisible names, a
card number for a token, approval of an order that costs nothing, signals of names that nobody heard. It cannot be
recorded again.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.workflow import NondeterminismError

from order_worker.sandbox import checking_runner, production_runner
from order_workflows import patches
from order_workflows.contract import workflow_id
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow
from order_workflows.stock_item_workflow import StockItemWorkflow

HISTORIES = Path(__file__).parent / "histories"
FIRST = (
    "approved",
    "cancelled",
    "completed",
    "declined",
    "duplicate",
    "expired",
    "manual-review",
    "rejected",
    "undeliverable",
)
SECOND = (
    "address-changed",
    "address-put-back",
    "address-window-passed",
    "asked-after-a-takeover",
    "auto-approved",
    "backorder",
    "cancelled-before-it-began",
    "cancelled-in-conflict",
    "compensation-forgotten",
    "enriched",
    "every-step",
    "forward-recovery",
    "four-eyes",
    "lines-changed",
    "lines-overtaken",
    "lines-repeated",
    "rejected-backorder",
    "release-was-lost",
    "sale-was-lost",
    "shipment-by-childworkflows",
    "shipment-by-nexus",
    "shipment-cancelled",
    "shipment-keeps-packed",
    "shipment-packed",
    "shipment-undeliverable",
    "shipped-by-childworkflows",
    "shipped-by-nexus",
    "stock-backorders",
    "stock-configured",
    "stock-continued",
    "stock-failed-order-supplies",
    "stock-failed-receive-supplies",
    "stock-late-delivery",
    "stock-released",
    "stock-restocked",
    "stock-set-back",
    "stock-tells-release",
    "terminated-awaiting-approval",
    "terminated-past-the-pivot",
    "terminated-twice",
    "undone-in-parallel",
    "written-back",
    *FIRST,
)
ONCE_ACCEPTED = ("cancelled", "completed", "costs-nothing", "signalled")
PATHS = [
    f"{generation}/{path}"
    for generation, paths in {"1": FIRST, "2": SECOND, "once-accepted": ONCE_ACCEPTED}.items()
    for path in paths
]


def a_replayer(runner: WorkflowRunner) -> Replayer:
    workflows = [OrderWorkflow, ShipmentWorkflow, StockItemWorkflow]
    return Replayer(workflows=workflows, data_converter=pydantic_data_converter, workflow_runner=runner)


def text_of(path: str) -> str:
    return (HISTORIES / f"{path}.json").read_text()


def history(text: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(workflow_id("shop", "recorded", "uid"), text)


def test_every_path_and_nothing_else_is_recorded() -> None:
    recorded = [str(file.relative_to(HISTORIES).with_suffix("")) for file in HISTORIES.rglob("*.json")]

    assert sorted(recorded) == sorted(PATHS)


NOT_RECORDED = {
    patches.ASKS_BEFORE_A_REFUSED_END,
    patches.ASKS_FOR_EACH_COUNTRY,
    patches.COUNTS_SIGNALLED_EDITS,
    patches.SHOWS_FEW_REFUSALS,
    patches.SHOWS_REFUSALS,
    patches.WAITS_FOR_KEYS,
    patches.WAITS_FOR_SHIPMENTS,
}
"""Changes that no history has yet; two of them follow hundreds of Signals. A new one is recorded."""


def patches_in(path: str) -> set[str]:
    """Names of the changes of the workflow code that a recorded run has followed; of several of a kind, of the kind."""
    markers = [event.get("markerRecordedEventAttributes", {}) for event in json.loads(text_of(path))["events"]]
    texts = [
        base64.b64decode(payload["data"])
        for marker in markers
        if marker.get("markerName") == "core_patch"
        for detail in marker["details"].values()
        for payload in detail["payloads"]
    ]
    return {str(json.loads(text)["id"]).partition("/")[0] for text in texts}


def test_every_change_of_the_workflow_code_is_in_a_history() -> None:
    declared = {value for name, value in vars(patches).items() if name.isupper()}

    assert declared - set().union(*map(patches_in, PATHS)) == NOT_RECORDED


@pytest.mark.parametrize("runner", [checking_runner, production_runner])
@pytest.mark.parametrize("path", PATHS)
async def test_a_recorded_order_replays(path: str, runner: Callable[[], WorkflowRunner]) -> None:
    await a_replayer(runner()).replay_workflow(history(text_of(path)))


async def test_a_shipment_that_an_older_worker_took_apart_past_the_pivot_replays() -> None:
    """The order's worker was upgraded first, and told the shipment's that the order goes only forward."""
    document = json.loads(text_of("2/shipment-cancelled"))
    [payload] = document["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    begun = json.loads(base64.b64decode(payload["data"])) | {"forwardOnly": True}
    payload["data"] = base64.b64encode(json.dumps(begun).encode()).decode()

    await a_replayer(checking_runner()).replay_workflow(history(json.dumps(document)))


@pytest.mark.parametrize(
    ("path", "recorded", "altered"),
    [
        ("2/completed", '"name": "charge_payment"', '"name": "ship_line"'),
        ("2/undeliverable", '"name": "refund_payment"', '"name": "cancel_shipment"'),
        ("2/shipment-undeliverable", '"name": "unpack_lines"', '"name": "pack_lines"'),
        ("2/stock-restocked", '"name": "receive_supplies"', '"name": "order_supplies"'),
    ],
)
async def test_a_history_with_another_step_in_a_place_does_not_replay(path: str, recorded: str, altered: str) -> None:
    text = text_of(path)
    assert recorded in text

    with pytest.raises(NondeterminismError):
        await a_replayer(checking_runner()).replay_workflow(history(text.replace(recorded, altered)))


@pytest.mark.parametrize("path", PATHS)
def test_a_recording_holds_nothing_of_the_machine_that_made_it(path: str) -> None:
    events = json.loads(text_of(path))["events"]
    identities = {
        value
        for event in events
        for attributes in event.values()
        if isinstance(attributes, dict)
        for name, value in attributes.items()
        if name == "identity" and value
    }

    assert identities <= {"test", "history-service"}
    assert "stackTrace" not in text_of(path)
