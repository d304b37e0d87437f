import json
from datetime import UTC, datetime, timedelta

import pytest
from builders import STANDARD_PIPELINE, a_snapshot, an_address
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_domain.snapshot import (
    MAX_TEXT,
    SNAPSHOT_VERSION,
    ApprovalRecord,
    ErrorRecord,
    OrderSnapshot,
    StepRecord,
    StepState,
)
from order_domain.status import OrderStatus

START = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def a_completed_snapshot() -> OrderSnapshot:
    """As a one-line order of class `standard` leaves it."""
    return a_snapshot(
        seq=8,
        status=OrderStatus.ORDER_COMPLETED,
        progress=100,
        lines_digest="0123456789abcdef",
        steps=[
            StepRecord(
                name=step,
                state=StepState.SUCCEEDED,
                attempts=1,
                started_at=START,
                finished_at=START + timedelta(milliseconds=40),
            )
            for step in STANDARD_PIPELINE
        ],
        reservation_id="res-7f0c6a520c38",
        payment={"transaction_id": "txn-7f0c6a520c38", "captured_minor": 50_000},
        shipments=[
            {
                "line_id": "1",
                "state": "Dispatched",
                "tracking_number": "TRACK-7f0c6a520c38",
                "carrier": "simulated",
                "estimated_delivery": START + timedelta(days=3),
            }
        ],
        shipment_count=1,
        notified=True,
        updated_at=START + timedelta(seconds=1),
    )


@pytest.mark.parametrize(
    "snapshot",
    [
        OrderSnapshot(),
        a_snapshot(),
        a_completed_snapshot(),
        a_snapshot(
            lines_digest="0123456789abcdef",
            items=[{"line_id": "1", "sku": "654300", "quantity": 1, "description": "Table Top"}],
            enrichment={"tier": "Gold", "recommendations": ["Lamp"]},
        ),
        a_snapshot(
            status="Manual Review",
            suspended=True,
            approval={"required": True, "deadline": START, "decision": "Expired", "at": START},
            pending_action={"kind": "Resume", "message": "repair"},
            compensation="Failed",
            notified=False,
            last_error={"type": "CompensationFailed", "message": "could not undo Ship"},
        ),
    ],
)
def test_a_snapshot_comes_back_from_the_memo_as_it_was(snapshot: OrderSnapshot) -> None:
    assert OrderSnapshot.model_validate(json.loads(json.dumps(snapshot.to_memo()))) == snapshot


def test_fields_of_a_newer_version_are_ignored() -> None:
    memo = a_snapshot(shipping_address=None).to_memo() | {"loyaltyTier": "Gold"}

    assert OrderSnapshot.model_validate(memo) == a_snapshot(shipping_address=None)


def test_the_memo_always_says_its_version() -> None:
    assert OrderSnapshot().to_memo() == {"version": SNAPSHOT_VERSION}


def test_a_status_this_version_does_not_know_is_not_guessed() -> None:
    with pytest.raises(ValidationError, match="status"):
        OrderSnapshot.model_validate({"status": "Gift Wrapped"})


def test_the_memo_of_a_completed_order_with_one_line_stays_within_2_kib() -> None:
    size = len(json.dumps(a_completed_snapshot().to_memo(), separators=(",", ":")).encode())

    assert 1024 < size <= 2048


def test_the_longest_address_leaves_room_in_the_memo() -> None:
    text = "x" * 100
    snapshot = a_completed_snapshot().model_copy(
        update={"shipping_address": an_address(name=text, line1=text, line2=text, city=text)}
    )

    assert len(json.dumps(snapshot.to_memo()).encode()) < 3 * 1024


def test_a_text_from_outside_that_is_too_long_is_cut() -> None:
    long = "x" * 5_000

    error = ErrorRecord(type="ProviderUnavailable", message=long)
    approval = ApprovalRecord(by=long, reason=long)

    assert error.message == approval.by == approval.reason == "x" * 1024


def test_an_approval_of_a_release_that_knew_no_amount_is_read() -> None:
    earlier = {"approval": {"required": True, "decision": "Approved", "by": "bob", "generation": 2}}

    approval = OrderSnapshot.model_validate(earlier).approval

    assert (approval.by, approval.total_minor, approval.digest, approval.via) == ("bob", None, None, None)


@given(st.text(st.characters(exclude_categories=())) | st.just("x" * 3000))
def test_any_text_fits_into_a_record(text: str) -> None:
    message = ErrorRecord(type="Failed", message=text).message

    assert len(message) <= MAX_TEXT
    assert message.encode().decode() == message
    assert not set(message) & {"\0", "\x1b", "\x7f"}
