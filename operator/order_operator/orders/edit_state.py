"""What became of the edits that were sent, and which of them is sent again under an id of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from order_domain.refusals import RefusalType
from order_domain.snapshot import OrderSnapshot
from order_operator.orders.amendment import Amendment, Group, Refusal

ANSWER_GRACE_SECONDS = 2.0
"""An edit that is answered and has its effect within this time is shown in one write, with its effect."""
_AGAIN = "/seq-"

_SENT_AGAIN = frozenset({Group.SUSPEND, Group.LINES, Group.ADDRESS})
"""What an order follows back and forth, so that the same edit may be meant twice. A cancellation may have been answered
with "only forward from here", and a decision is made once."""


def sent_again(change: Amendment, snapshot: OrderSnapshot) -> Amendment:
    """`change` under an id of its own, the same one for as long as the order publishes nothing: it lacks the effect of
    every edit that it had before. The generation is not what the id ends with."""
    return replace(change, update_id=f"{change.update_id}{_AGAIN}{snapshot.seq}", repeats=change.update_id)


@dataclass(frozen=True)
class EditState:
    """What became of the edits of one order that were sent, by update id."""

    sent_at: Mapping[str, float] = field(default_factory=dict)
    """Monotonic time of the first attempt, for those that are neither refused nor known to be without a visible
    effect."""
    waiting: frozenset[str] = frozenset()
    """Under way, or accepted. What was accepted TOLD_AGAIN_SECONDS ago and is still wanted is sent again under its id:
    Temporal repeats its answer, unless it was restored since and has forgotten the edit."""
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    accepted: Mapping[str, float] = field(default_factory=dict)
    """Monotonic time of the answer."""

    def is_repeated_in_vain(self, change: Amendment, asked: float) -> bool:
        """Whether `change` was accepted more than ANSWER_GRACE_SECONDS before `asked`, the monotonic time at which the
        order still lacked it. Generations count from an earlier one after a restore of etcd: Temporal recognises the
        id then, and answers what the same edit was answered before. Or the workflow takes a suspension for an earlier
        one and refuses it: under its own id a suspension names no generation."""
        if change.group not in _SENT_AGAIN or change.repeats is not None:
            return False
        refusal = self.refused.get(change.update_id)
        if refusal is not None and change.group is Group.SUSPEND:
            return refusal.reason == RefusalType.SUPERSEDED
        answered = self.accepted.get(change.update_id)
        return answered is not None and answered + ANSWER_GRACE_SECONDS <= asked

    def as_sent(self, change: Amendment) -> Amendment:
        """`change` under the id of its own under which it was sent again, if it was."""
        prefix = f"{change.update_id}{_AGAIN}"
        own = next((key for key in (*self.sent_at, *self.refused) if key.startswith(prefix)), None)
        return change if own is None else replace(change, update_id=own, repeats=change.update_id)

    def is_due(self, change: Amendment, clock: float) -> bool:
        """Whether `change` has to be sent now. `clock`: monotonic time."""
        refusal = self.refused.get(change.update_id)
        asked_again = refusal is None or (refusal.again_at is not None and refusal.again_at <= clock)
        return asked_again and change.update_id not in self.waiting
