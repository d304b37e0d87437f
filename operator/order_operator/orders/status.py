"""The `.status` of an Order resource: what the operator writes there and nobody else.

It is a projection of the workflow's `OrderSnapshot` and may be wiped at any time; nothing is ever decided from it
that could not be decided without it. order_operator.crd makes the resource's schema from these models.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from order_domain.order import Address
from order_domain.pipeline import StepName
from order_domain.snapshot import (
    MAX_LISTED_ITEMS,
    MAX_LISTED_SHIPMENTS,
    ApprovalRecord,
    EnrichmentRecord,
    ErrorRecord,
    ItemRecord,
    PaymentRecord,
    PendingAction,
    RefusalRecord,
    ShipmentRecord,
    ShortText,
    StepRecord,
)
from order_domain.status import OrderStatus, Phase
from order_domain.value import Value
from order_operator.cluster.conditions import MAX_CONDITIONS, Condition
from order_operator.temporal.runs import WorkflowRef

MAX_STEPS = 32
"""As long as the longest pipeline of a class."""


class OrderResourceStatus(Value):
    """How far the order is, as last seen in its workflow. Written by the operator only."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Newest metadata.generation that was dealt with, whether its changes were accepted or refused."""
    phase: Phase | None = None
    """The coarse state. Completed, Rejected, Cancelled, Expired, Duplicate, Invalid and Failed are final."""
    order_status: OrderStatus | None = None
    """The step the order is at: the workflow's search attribute OrderStatus, value for value."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent of the pipeline's steps that are finished; never falls, 100 only when Completed."""
    message: ShortText | None = None
    """What the order does or waits for, why, until when, and what can be done, in one sentence."""
    current_step: StepName | None = None
    """The step that runs or waits."""
    conditions: Annotated[list[Condition], Field(max_length=MAX_CONDITIONS)] = Field(default_factory=list)
    """The aspects of the order's state; keyed by `type`."""
    class_name: str | None = None
    """The OrderClass in force, copied into the workflow when it started."""
    class_generation: Annotated[int, Field(ge=0)] | None = None
    """metadata.generation that the class had then."""
    total: str | None = None
    """Total of the lines in force, for people: `750.00 USD`."""
    total_minor: Annotated[int, Field(ge=0)] | None = None
    """Total of the lines in force, in minor units of the order's currency."""
    approval: ApprovalRecord | None = None
    """Whether a person has to decide, until when, and who decided what."""
    refused_decision: Annotated[str, Field(max_length=64)] | None = None
    """Digest of the decision in the spec that the workflow refused for who made it: it stays refused, whatever else is
    edited, until it is taken back or written in another way."""
    adopt_from_heard: Annotated[str, Field(max_length=63)] | None = None
    """What `spec.adoptFrom` said when the order was first shown as one that another installation has, empty if nothing:
    only another value takes the order back. Absent of any other order."""
    pending_action: PendingAction | None = None
    """What the order waits for somebody to do."""
    steps: Annotated[list[StepRecord], Field(max_length=MAX_STEPS)] = Field(default_factory=list)
    """The steps of the pipeline, in its order, those to come as well; keyed by `name`."""
    items: Annotated[list[ItemRecord], Field(max_length=MAX_LISTED_ITEMS)] = Field(default_factory=list)
    """The first lines as the shop's catalogue knows them."""
    enrichment: EnrichmentRecord | None = None
    """What is known of the customer beyond the order."""
    reservation_id: str | None = None
    """The stock ledger's reference of the reservation."""
    payment: PaymentRecord | None = None
    """Money that moved."""
    shipments: Annotated[list[ShipmentRecord], Field(max_length=MAX_LISTED_SHIPMENTS)] = Field(default_factory=list)
    """The parcels, as many as fit; `shipmentCount` counts them all."""
    shipment_count: Annotated[int, Field(ge=0)] | None = None
    """All dispatched shipments, listed or not."""
    shipping_address: Address | None = None
    """The address in force, which differs from the spec while a change waits or after it was refused."""
    workflow: WorkflowRef | None = None
    """Where to look further."""
    start_time: datetime | None = None
    """When the workflow started."""
    completion_time: datetime | None = None
    """When it ended."""
    last_error: ErrorRecord | None = None
    """The error that decided the order's fate, or the last one seen."""
    last_refusal: RefusalRecord | None = None
    """The last message to the workflow that came in vain."""
