"""What every request and every answer has, and which kinds of effect can be undone.

Every effect carries an `operation_id`, made of the order's uid, the step and the business attempt and never of the
activity's attempt, so that repeating a call repeats nothing in the world.
"""

from enum import StrEnum
from typing import Self

from order_domain.snapshot import ShortText
from order_domain.value import Value
from order_workflows.contract import ResourceIdentity


class Effect(Value):
    """What every effect needs to be recorded under the right order."""

    order: ResourceIdentity
    operation_id: str
    """Also the provider's idempotency key. Same id with other parameters raises OperationConflict."""

    @classmethod
    def among(cls, *arguments: object) -> Self | None:
        """The one among an activity's arguments; None for an activity that asks without changing anything."""
        return next((argument for argument in arguments if isinstance(argument, cls)), None)


class Outcome(Value):
    """What every activity reports besides its result."""

    attempts: int = 1
    """Which attempt of the activity this answer comes from; 1 is the first."""
    last_error: ShortText | None = None
    """What an earlier attempt failed with, the last one of which the worker of this answer knows. None where the first
    attempt succeeded, where the others ran on another worker, or where the worker has restarted since."""


class EffectKind(StrEnum):
    """What can be undone, by the kind of its operation in the ledger."""

    RESERVE = "reserve"
    PACK = "pack"
    CHARGE = "charge"
    SHIP = "ship"
