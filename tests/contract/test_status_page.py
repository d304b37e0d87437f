"""docs/status.md names every phase, condition and reason that a status can carry."""

from enum import StrEnum
from pathlib import Path

import pytest

from order_domain.refusals import RefusalType
from order_domain.status import Phase
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.cluster.event_reasons import EventReason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "status.md").read_text()
UNSAID = {Reason.UNKNOWN, Reason.PROGRESSING, Reason.WAITING, Reason.SUSPENDED, Reason.SUBMITTED}
"""Reasons that repeat the phase or say nothing."""


@pytest.mark.parametrize(
    "word", [*Phase, *ConditionType, *RefusalType, *EventReason, *(reason for reason in Reason if reason not in UNSAID)]
)
def test_every_word_is_explained(word: StrEnum) -> None:
    assert f"`{word.value}`" in PAGE
