"""What can be done for an order: `decision.py` chooses one, `reconcile.py` does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from order_operator.orders.amendment import Amendment
from order_operator.orders.classes import OrderClass
from order_operator.orders.observation import Observation
from order_operator.orders.resource import ParsedSpec


@dataclass(frozen=True)
class Describe:
    """Ask Temporal itself for the newest run."""


@dataclass(frozen=True)
class DescribeOther:
    """Ask Temporal itself for this workflow, which carries an order of the same name."""

    workflow_id: str


@dataclass(frozen=True)
class Confirm:
    """Ask the API server whether the resource still exists."""


@dataclass(frozen=True)
class Start:
    """Start the workflow, or find the one that is there."""

    order_class: OrderClass
    parsed: ParsedSpec
    to_undo: bool = False
    """The order is not to be carried out: the run asks the ledger what was done, and undoes that."""


@dataclass(frozen=True)
class TakeOver:
    """Start the next run of an order whose workflow came to no end of its own: of this one, or of the order that a
    resource of another installation had."""

    run: Observation


@dataclass(frozen=True)
class Send:
    """Bring these edits to the workflow; of the earlier answers only those to `wanted` still count."""

    run: Observation
    changes: Sequence[Amendment]
    wanted: Sequence[Amendment]


@dataclass(frozen=True)
class Adopt:
    """Ask the workflow of an earlier resource of this name to go on with the order."""

    run: Observation
    adoption: Amendment


@dataclass(frozen=True)
class Cancel:
    """Ask the workflow to stop and to undo what it did."""

    run: Observation


@dataclass(frozen=True)
class Release:
    """Tell the workflow that it goes on without its resource."""

    run: Observation


@dataclass(frozen=True)
class SetFinalizer:
    """Put our finalizer on the resource, or take it off."""

    present: bool


@dataclass(frozen=True)
class WriteStatus:
    """Let the resource have this status."""

    status: Mapping[str, Any]


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do; details need not be kept."""


@dataclass(frozen=True)
class Forget:
    """The resource is gone, and all is said to its workflow."""


@dataclass(frozen=True)
class Wait:
    """Until something is news, or for so many seconds at the longest."""

    seconds: float | None = None


Action = (
    Describe
    | DescribeOther
    | Confirm
    | Start
    | TakeOver
    | Send
    | Adopt
    | Cancel
    | Release
    | SetFinalizer
    | WriteStatus
    | Finish
    | Forget
    | Wait
)
