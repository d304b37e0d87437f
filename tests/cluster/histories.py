"""What Temporal's histories tell of attempts: `python histories.py ADDRESS NAMESPACE QUERY` prints it as JSON.

A program of its own, since it has to run in the node's network.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from typing import Any

from google.protobuf.json_format import MessageToJson
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

_LOCAL_ACTIVITY = "core_local_activity"
_TIME_OUTS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activities timed out",
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: "workflow tasks timed out",
}


async def _attempts(address: str, namespace: str, query: str) -> dict[str, Any]:
    client = await Client.connect(address, namespace=namespace)
    found = Counter(
        {"workflows": 0, "activities": 0, "activities repeated": 0, **dict.fromkeys(_TIME_OUTS.values(), 0)}
    )
    why: list[str] = []
    async for run in client.list_workflows(query):
        found["workflows"] += 1
        async for event in client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history_events():
            if event.event_type in _TIME_OUTS:
                found[_TIME_OUTS[event.event_type]] += 1
            elif (attempt := _attempt(event)) is not None:
                found["activities"] += 1
                if attempt > 1:
                    found["activities repeated"] += 1
                    why.append(f"{run.id}: {MessageToJson(event, indent=None)}")
    return {**found, "why": why}


def _attempt(event: HistoryEvent) -> int | None:
    """How often the activity was tried, if the event tells of one: a local one's attempts are in its marker."""
    if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
        return event.activity_task_started_event_attributes.attempt
    marker = event.marker_recorded_event_attributes
    if marker.marker_name != _LOCAL_ACTIVITY:
        return None
    return int(json.loads(marker.details["data"].payloads[0].data)["attempt"])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_attempts(*sys.argv[1:]))), flush=True)
    # A thread of the SDK that still runs while Python ends has crashed it, after all was said.
    os._exit(0)
