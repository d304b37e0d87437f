"""OrderClass: the policy that an order follows, copied into its workflow when it starts."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from order_domain.judgement import rule
from order_domain.money import MAX_MINOR, Currency
from order_domain.order import MAX_TTL_SECONDS
from order_domain.pipeline import MAY_REFUSE, StepName, flaw
from order_domain.retry import RetryPolicies
from order_domain.simulation import Simulation
from order_domain.value import Value


class ApprovalMode(StrEnum):
    """When an order needs a person's approval."""

    NEVER = "Never"
    THRESHOLD = "Threshold"
    ALWAYS = "Always"


class ApprovalExpiry(StrEnum):
    """What becomes of an order when nobody has decided in time."""

    EXPIRE = "Expire"
    APPROVE = "Approve"


class TemporalClients(StrEnum):
    """Whether a client of Temporal, who sends a decision past the cluster, is heard."""

    ALLOWED = "Allowed"
    REFUSED = "Refused"


class DecisionVerb(StrEnum):
    """The verb on `orders.order-platform.dev` that an approver of the order needs."""

    APPROVE = "approve"
    APPROVE_HIGH = "approve-high"


class ApprovalPolicy(Value):
    """Who must be asked, from what amount on, and for how long."""

    mode: ApprovalMode = ApprovalMode.NEVER
    """`Never`, `Threshold` (totals strictly above `thresholdMinor`) or `Always`."""
    threshold_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    """Largest total, in minor units of `currency`, that needs no approval. Required for mode Threshold."""
    currency: Currency | None = None
    """Currency of the threshold; an order in another currency needs approval, since it cannot be compared, unless it
    costs nothing. Required for mode Threshold."""
    window_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 300
    """How long a decision is awaited, in seconds (at most 30 days)."""
    on_expiry: ApprovalExpiry = ApprovalExpiry.EXPIRE
    """`Expire`: without a decision the order is undone and ends as Expired. `Approve`: silence means consent."""
    auto_approve_after_seconds: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    """Approves by itself after so many seconds, with `auto-approver` as the decider: for demonstrations and tests.
    Must be less than `windowSeconds`."""
    four_eyes: bool = False
    """True: who ordered, and who edited the order last, may not decide about it. An order needs `requestedBy` then."""
    high_threshold_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    """Largest total, in minor units of `currency`, that the verb `approve` suffices for. Above it an approver needs the
    verb `approve-high`, and so for every order in another currency. At least `thresholdMinor`."""
    temporal_clients: TemporalClients = TemporalClients.ALLOWED
    """`Allowed`: a client of Temporal may decide as well, and `status.approval.via` tells so. `Refused`: a decision
    comes through the resource only."""

    @rule
    def _threshold_is_complete(self) -> None:
        if self.mode is ApprovalMode.THRESHOLD and (self.threshold_minor is None or self.currency is None):
            raise ValueError("approval: mode Threshold needs thresholdMinor and currency")

    @rule
    def _high_threshold_is_legal(self) -> None:
        if self.high_threshold_minor is None:
            return
        if self.currency is None:
            raise ValueError("approval: highThresholdMinor needs currency")
        if self.threshold_minor is not None and self.high_threshold_minor < self.threshold_minor:
            raise ValueError("approval: highThresholdMinor must be at least thresholdMinor")

    @rule
    def _four_eyes_are_a_persons(self) -> None:
        if not self.four_eyes:
            return
        if self.auto_approve_after_seconds is not None:
            raise ValueError("approval: fourEyes needs a person's decision: remove autoApproveAfterSeconds")
        if self.on_expiry is ApprovalExpiry.APPROVE:
            raise ValueError("approval: fourEyes needs a person's decision: use onExpiry Expire")

    @rule
    def _auto_approval_is_in_time(self) -> None:
        if self.auto_approve_after_seconds is not None and self.auto_approve_after_seconds >= self.window_seconds:
            raise ValueError("approval: autoApproveAfterSeconds must be less than windowSeconds")

    def required(self, total_minor: int, currency: str, *, nothing_too: bool = False) -> bool:
        """Whether an order of this total must be approved by a person. Nothing is below every threshold, in every
        currency; `nothing_too` compares currencies for it all the same, as orders of earlier releases do."""
        if self.mode is ApprovalMode.THRESHOLD:
            if total_minor == 0 and not nothing_too:
                return False
            return currency != self.currency or self.threshold_minor is None or total_minor > self.threshold_minor
        return self.mode is ApprovalMode.ALWAYS

    def verb(self, total_minor: int, currency: str) -> DecisionVerb:
        """What an approver of an order of this total needs."""
        if self.high_threshold_minor is None or total_minor == 0:
            return DecisionVerb.APPROVE
        high = currency != self.currency or total_minor > self.high_threshold_minor
        return DecisionVerb.APPROVE_HIGH if high else DecisionVerb.APPROVE


class AddressMessage(StrEnum):
    """How a changed address is taken."""

    UPDATE = "Update"
    SIGNAL = "Signal"


class AddressExpiry(StrEnum):
    """What becomes of an order whose address window passes unused."""

    CONTINUE = "Continue"
    FAIL = "Fail"


class AddressWindow(Value):
    """How long, and in which form, the customer may still correct the address (step AddressWindow)."""

    seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 30
    """How long the order waits for a changed address, in seconds (at most 30 days)."""
    via: AddressMessage = AddressMessage.UPDATE
    """`Update`: a change is checked, and refused with the reason. `Signal`: it is taken unchecked; the last wins."""
    house_number_first: bool = False
    """With `via: Update`, refuses an address whose `line1` does not start with a digit."""
    on_expiry: AddressExpiry = AddressExpiry.CONTINUE
    """`Continue` with the address as it is, or `Fail`: undo the order."""


class ShippingMode(StrEnum):
    """Who carries the shipment of one line."""

    ACTIVITIES = "Activities"
    CHILD_WORKFLOWS = "ChildWorkflows"
    NEXUS = "Nexus"


class ParentClosePolicy(StrEnum):
    """What becomes of the shipments' workflows when the order's ends before them."""

    TERMINATE = "Terminate"
    REQUEST_CANCEL = "RequestCancel"
    ABANDON = "Abandon"


TemporalName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Letters, digits, `-` and `_`, starting with a letter."""


class ShippingPolicy(Value):
    """How the lines of an order are shipped, all at once in every mode."""

    mode: ShippingMode = ShippingMode.ACTIVITIES
    """`Activities` of the order's own workflow; `ChildWorkflows`, one per line, on `taskQueue`; or `Nexus` operations,
    one per line, at `endpoint`."""
    task_queue: TemporalName = "shipping"
    """Where the child workflows run. Mode ChildWorkflows."""
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE
    """What the end of the order does to its child workflows under way: `Terminate` stops them at once, `RequestCancel`
    asks them to cancel, `Abandon` leaves them alone. Mode ChildWorkflows."""
    endpoint: TemporalName = "shipping-endpoint"
    """Name of the Nexus endpoint. Mode Nexus."""


class ShortagePolicy(StrEnum):
    """What to do with an order for more pieces than there are."""

    FAIL = "Fail"
    BACKORDER = "Backorder"


class InventoryPolicy(Value):
    """What a shortage of stock does."""

    on_shortage: ShortagePolicy = ShortagePolicy.FAIL
    """`Fail` the order, or `Backorder`: wait until there are enough pieces."""
    backorder_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 604_800
    """How long a backorder waits before the order expires, in seconds (default seven days, at most a year)."""


PivotName = Literal[StepName.CHARGE_PAYMENT, StepName.SHIP, StepName.UPDATE_ORDER_STATUS]
"""Steps that a class can name as its pivot."""


class CompensationPolicy(Value):
    """How an order is undone, and from where on it no longer is."""

    parallel: bool = False
    """Undo all steps at once instead of one after the other in reverse."""
    pivot: PivotName | None = None
    """The step after which nothing goes backward: later steps are tried until they succeed. Default: Ship where the
    pipeline has it, else its last step before Notify."""


class OrderClassSpec(Value):
    """Policy for the orders that name this class. Running orders keep the policy that they started with."""

    pipeline: Annotated[list[StepName], Field(min_length=1, max_length=32)]
    """The steps in order."""
    approval: ApprovalPolicy = ApprovalPolicy()
    address_window: AddressWindow = AddressWindow()
    shipping: ShippingPolicy = ShippingPolicy()
    inventory: InventoryPolicy = InventoryPolicy()
    retry: RetryPolicies = RetryPolicies()
    compensation: CompensationPolicy = CompensationPolicy()
    simulation: Simulation = Simulation()
    """Faults for demonstrations and tests. Honoured only by workers that allow it; elsewhere an order of a class that
    asks for any is Invalid."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_TTL_SECONDS)] | None = None
    """How long a finished Order resource is kept, in seconds; without it, until somebody deletes it. The ledger keeps
    the order in any case. An order's own `ttlSecondsAfterFinished` goes first."""
    history_limit: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """How many finished Order resources of this class are kept per namespace; the oldest go first."""

    @property
    def pivot(self) -> StepName:
        """The step after which nothing goes backward."""
        if self.compensation.pivot is not None:
            return self.compensation.pivot
        if StepName.SHIP in self.pipeline:
            return StepName.SHIP
        return next(step for step in reversed(self.pipeline) if step is not StepName.NOTIFY)

    @rule
    def _pipeline_is_legal(self) -> None:
        problem = flaw(self.pipeline)
        if problem is not None:
            raise ValueError(f"pipeline: {problem}")
        if self.approval.mode is not ApprovalMode.NEVER and StepName.APPROVAL not in self.pipeline:
            raise ValueError(f"approval: mode {self.approval.mode} needs the step Approval in the pipeline")

    @rule
    def _pivot_is_legal(self) -> None:
        pivot = self.compensation.pivot
        if pivot is None:
            return
        if pivot not in self.pipeline:
            raise ValueError(f"compensation: the pivot {pivot} is not in the pipeline")
        after = self.pipeline[self.pipeline.index(pivot) :]
        late = [step for step in MAY_REFUSE if step in after]
        if self.address_window.on_expiry is AddressExpiry.FAIL and StepName.ADDRESS_WINDOW in after:
            late.append(StepName.ADDRESS_WINDOW)
        if late:
            raise ValueError(f"compensation: {late[0]} can end an order and must come before the pivot {pivot}")
