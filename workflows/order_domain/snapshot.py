"""What a workflow tells the world of its order: the memo `order`, and the answer of the query `get_status`.

Everything the resource's status shows must be in here, since the operator reads nothing else of a healthy run.
Typically below 2 KiB: fields at their default are left out.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from order_domain.order import Address, Proof
from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_domain.value import Value

SNAPSHOT_VERSION = 1

MAX_LISTED_SHIPMENTS = 20
"""More shipments than this are counted, not listed, to keep the memo small."""

MAX_LISTED_ITEMS = 20
"""Of more items than this only the first are listed."""

MAX_RECOMMENDATIONS = 10
"""Of more recommendations than this only the first, and so the best, are listed."""


class StepState(StrEnum):
    """Where one step stands."""

    PENDING = "Pending"
    """Not begun. A workflow has no record of such a step; the operator knows it from the pipeline."""
    RUNNING = "Running"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    COMPENSATED = "Compensated"
    COMPENSATION_FAILED = "CompensationFailed"


MAX_TEXT = 1024
"""Characters of any text in a record."""
_UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters except tab and newline, and halves of surrogate pairs: some database or client refuses each."""


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """The beginning of `text`, as every database and client can keep it."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[:limit])


def _shorten(text: Any) -> Any:
    return shortened(text) if isinstance(text, str) else text


ShortText = Annotated[str, StringConstraints(max_length=MAX_TEXT), BeforeValidator(_shorten)]
"""Text from anywhere. It is cut and cleaned, not refused: a record is made in workflow code, where an error would stop
the order."""


class StepRecord(Value):
    """One step of the order."""

    name: StepName
    state: StepState
    attempts: int = 0
    """Attempts of the step's activity, as far as they are known."""
    started_at: datetime | None = None
    """When the step began."""
    finished_at: datetime | None = None
    """When the step ended."""
    last_error: ShortText | None = None
    """What went wrong last."""
    next_attempt_at: datetime | None = None
    """When the step is tried again, while it fails."""


class DecisionOutcome(StrEnum):
    """How the question of approval ended."""

    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"


class ApprovalRecord(Value):
    """The approval of this order."""

    required: bool = False
    """Whether a person has to decide."""
    deadline: datetime | None = None
    """Until when; the order expires then."""
    decision: DecisionOutcome | None = None
    by: ShortText | None = None
    """Who decided."""
    proof: Proof | None = None
    """How far that name is proven. `Policy`: the cluster's admission policies hold it true. `Claimed`: nothing does."""
    at: datetime | None = None
    """When."""
    reason: ShortText | None = None
    """Why."""
    generation: int | None = None
    """metadata.generation that was decided about, where the decider knew one."""
    total_minor: int | None = None
    """The total that was decided about, in minor units."""
    currency: str | None = None
    """The currency of `total_minor`."""
    digest: str | None = None
    """`order_domain.order.lines_digest` of what was decided about, where the decider knew one."""
    requested_by: ShortText | None = None
    """Who ordered, where it is known."""
    edited_by: ShortText | None = None
    """Who edited the order last, where it is known."""
    via: str | None = None
    """The way that the decision came: `kubernetes` by the resource, `temporal` or `signal` by a client of Temporal,
    `policy` where the class decided and no person."""
    requires: str | None = None
    """The verb on orders.order-platform.dev that an approver needs: `approve` or `approve-high`."""


class PendingAction(Value):
    """What the order waits for somebody to do."""

    kind: str
    """What to do: `Approve`, `ChangeAddress`, `Restock` or `Resume`."""
    deadline: datetime | None = None
    """Until when."""
    message: ShortText
    """The same in a sentence."""


class EnrichmentRecord(Value):
    """What is known of the customer beyond the order."""

    tier: ShortText | None = None
    """The customer's standing with the shop, for example `Gold`."""
    recommendations: Annotated[list[ShortText], Field(max_length=MAX_RECOMMENDATIONS)] = Field(default_factory=list)
    """Articles that this customer may like as well."""


class ItemRecord(Value):
    """One line as the shop's catalogue knows it."""

    line_id: str
    """The line of the spec."""
    sku: str
    """What is sold."""
    quantity: int
    """Number of units."""
    description: ShortText
    """The catalogue's name of the article."""


class PaymentRecord(Value):
    """Money that moved."""

    transaction_id: str | None = None
    """The provider's reference of the charge."""
    refund_id: str | None = None
    """The provider's reference of the refund."""
    captured_minor: int = 0
    """Charged so far, in minor units."""
    refunded_minor: int = 0
    """Paid back so far, in minor units."""


class ShipmentState(StrEnum):
    """Where a parcel stands."""

    DISPATCHED = "Dispatched"
    CANCELLED = "Cancelled"


class ShipmentRecord(Value):
    """The parcel of one line."""

    line_id: str
    """The line of the spec that the parcel holds."""
    state: ShipmentState
    tracking_number: ShortText | None = None
    """The carrier's number of the parcel."""
    carrier: ShortText | None = None
    """Who delivers it."""
    estimated_delivery: datetime | None = None
    """When it should arrive."""


class ErrorRecord(Value):
    """The error that decided the order's fate, or the last one seen."""

    type: ShortText
    """A stable name, for example `PaymentDeclined`."""
    message: ShortText
    """What went wrong, as a sentence for people."""


class RefusalRecord(Value):
    """A message to the workflow that had no effect."""

    what: ShortText
    """The name of the Signal."""
    reason: ShortText
    """Why it had no effect."""
    at: datetime
    """When it came."""


class CompensationState(StrEnum):
    """How far the undoing is."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class Owner(Value):
    """The resource that an order belongs to since it was adopted: the one that it began with, if that took it back."""

    uid: str
    cluster: str
    """Identity of the installation that has the resource."""


class OrderSnapshot(Value):
    """The state of one order as its workflow knows it."""

    version: int = SNAPSHOT_VERSION
    """Of this format; a reader that knows only older ones must not guess."""
    seq: int = 0
    """Rises by one with every published change."""
    status: OrderStatus = OrderStatus.ORDER_RECEIVED
    progress: int = 0
    """Percent; never falls."""
    current_step: StepName | None = None
    suspended: bool = False
    class_name: str | None = None
    class_generation: int = 0
    total_minor: int = 0
    """Total of the lines and charges in force, in minor units."""
    lines_digest: str | None = None
    """`order_domain.order.lines_digest` of the lines and charges in force."""
    lines_requested: str | None = None
    """The same of those that the resource asked for last, once others are in force: a client of the workflow has
    changed them since."""
    suspend_requested: bool | None = None
    """Whether the resource asked last for the order to be suspended, once a client of the workflow has changed that."""
    steps: list[StepRecord] = Field(default_factory=list)
    approval: ApprovalRecord = ApprovalRecord()
    pending_action: PendingAction | None = None
    items: list[ItemRecord] = Field(default_factory=list)
    """At most `MAX_LISTED_ITEMS`, by line id."""
    enrichment: EnrichmentRecord | None = None
    reservation_id: str | None = None
    payment: PaymentRecord | None = None
    shipments: list[ShipmentRecord] = Field(default_factory=list)
    """At most `MAX_LISTED_SHIPMENTS`."""
    shipment_count: int = 0
    """All dispatched shipments, listed or not."""
    shipping_address: Address | None = None
    """The address in force."""
    address_digest: str | None = None
    """`order_domain.order.digest` of the address that the resource asked for last. Another one is in force if a client
    of the workflow changed it since."""
    compensation: CompensationState | None = None
    owner: Owner | None = None
    """None of an order that no other resource has ever adopted, as far as its workflow knows: a Temporal that was
    restored has forgotten later adoptions."""
    tells_owner: bool = False
    """Whether a worker wrote this that names the owner also where it is the first resource again; only in the memo."""
    notified: bool | None = None
    """Whether the confirmation went out; None before it was tried."""
    last_error: ErrorRecord | None = None
    last_refusal: RefusalRecord | None = None
    """The last Signal that came in vain: nobody answers its sender."""
    updated_at: datetime | None = None
    """Start of the workflow task that published this."""

    def to_memo(self) -> dict[str, Any]:
        """The JSON form, without the fields at their default but always with the version."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"version": self.version}
