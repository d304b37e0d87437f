"""A run that stopped half-way, and that began with something that nobody can read."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from builders import an_observation
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec

from order_codec.undecodable import KeyMissing
from order_operator.orders import takeover
from order_operator.orders.observation import Observation
from order_operator.orders.takeover import take_over

STOPPED = an_observation(snapshot=None, status=WorkflowExecutionStatus.TERMINATED)


class Temporal:
    """Has the run, whose input is one payload."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self.namespace, self.data_converter = "default", pydantic_data_converter

    def get_workflow_handle(self, _id: str, **_: Any) -> "Temporal":
        return self

    async def fetch_history_events(self, **_: Any) -> AsyncIterator[HistoryEvent]:
        event = HistoryEvent()
        event.workflow_execution_started_event_attributes.input.payloads.append(self._payload)
        yield event


@pytest.mark.parametrize("encoding", [b"binary/aes", b"binary/encrypted", b"json/plain", b""])
async def test_it_is_left_as_it_is_and_nothing_is_raised(encoding: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """B10: it ended every look at workflows without a resource, so that none was cancelled or reported any more."""

    async def describe(*_: Any) -> Observation:
        return STOPPED

    monkeypatch.setattr(takeover, "describe", describe)
    temporal = Temporal(Payload(metadata={"encoding": encoding}, data=b"{"))

    assert await take_over(cast("Any", temporal), STOPPED) == STOPPED


async def test_one_whose_key_is_missing_says_so_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def describe(*_: Any) -> Observation:
        return STOPPED

    class Encrypted(PayloadCodec):
        async def encode(self, payloads: Any) -> Any:
            return payloads

        async def decode(self, _payloads: Any) -> Any:
            raise KeyMissing("summer")

    monkeypatch.setattr(takeover, "describe", describe)
    temporal = Temporal(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"{"))
    temporal.data_converter = replace(pydantic_data_converter, payload_codec=Encrypted())

    with pytest.raises(KeyMissing, match="summer"):
        await take_over(cast("Any", temporal), STOPPED)
