"""The state of an order in words, for Temporal's own page. It is read when the page is opened, and costs no event."""

from order_domain import moments
from order_domain.snapshot import OrderSnapshot, StepRecord


def details(snapshot: OrderSnapshot) -> str:
    """Markdown: where the order is, what it waits for, its last error, and its steps."""
    lines = [f"**{snapshot.status}**, {snapshot.progress} %{', suspended' if snapshot.suspended else ''}"]
    if snapshot.pending_action is not None:
        lines.append(snapshot.pending_action.message)
    if snapshot.last_error is not None:
        lines.append(f"{snapshot.last_error.type}: {snapshot.last_error.message}")
    return "\n\n".join([*lines, "\n".join(_step(record) for record in snapshot.steps)])


def _step(record: StepRecord) -> str:
    tried = f", {record.attempts} attempts" if record.attempts > 1 else ""
    error = f": {record.last_error}" if record.last_error else ""
    then = f"; next try at {moments.second(record.next_attempt_at)}" if record.next_attempt_at else ""
    return f"- {record.name} {record.state}{tried}{error}{then}"
