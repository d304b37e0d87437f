"""A recorded order that today's rules would refuse: what was accepted once is carried to its end."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from order_domain.judgement import flaws
from order_worker.sandbox import checking_runner
from order_workflows.contract import OrderInput, workflow_id
from order_workflows.order_workflow import OrderWorkflow

HISTORIES = Path(__file__).parent / "histories"


def started_with(history: dict[str, Any], spec: dict[str, Any]) -> OrderInput:
    """Puts other fields into the spec that the recorded workflow had started with."""
    (payload,) = history["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    document = json.loads(base64.b64decode(payload["data"]))
    document["spec"] |= spec
    payload["data"] = base64.b64encode(json.dumps(document).encode()).decode()
    return OrderInput.model_validate(document)


@pytest.mark.parametrize("path", ["1/completed", "2/completed", "2/cancelled", "2/manual-review"])
async def test_a_recorded_order_that_rules_of_today_refuse_replays(path: str) -> None:
    history = json.loads((HISTORIES / f"{path}.json").read_text())
    refused = {"totalMinor": 1, "customer": {"id": "-", "email": "ana@exa\u3000mple.com"}}

    order = started_with(history, refused)

    assert len(flaws(order.spec)) == 2
    replayer = Replayer(
        workflows=[OrderWorkflow], data_converter=pydantic_data_converter, workflow_runner=checking_runner()
    )
    recorded = WorkflowHistory.from_json(workflow_id("shop", "recorded", "uid"), json.dumps(history))
    await replayer.replay_workflow(recorded)
