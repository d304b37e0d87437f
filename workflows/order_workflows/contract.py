"""The names that both sides of Temporal must spell alike: the operator that starts and watches, the worker that runs.

Renaming anything here breaks orders in flight.
"""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self, cast

from pydantic import (
    FailFast,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from temporalio.common import SearchAttributeKey

from order_domain.audit_note import AuditNote
from order_domain.judgement import Judged, field_errors
from order_domain.money import MAX_MINOR
from order_domain.order import (
    MAX_CHARGES,
    MAX_LINES,
    Address,
    OrderCharge,
    OrderLine,
    OrderSpec,
    Proof,
    Reason,
    UserName,
    digest,
)
from order_domain.policy import OrderClassSpec
from order_domain.retry import StepRetry
from order_domain.simulation import Simulation
from order_domain.snapshot import OrderSnapshot, PaymentRecord, shortened
from order_domain.stock_item import StockItemSpec, StockSettings, SupplierOrderRecord
from order_domain.value import Value

WORKFLOW_TYPE = "OrderWorkflow"
SHIPMENT_WORKFLOW_TYPE = "ShipmentWorkflow"
STOCK_ITEM_WORKFLOW_TYPE = "StockItemWorkflow"
DEFAULT_TASK_QUEUE = "orders"

NEXUS_SERVICE = "shipping-service"
NEXUS_OPERATION = "ship-item"

ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
ORDER_SEQ = SearchAttributeKey.for_int("OrderSeq")
ORDER_UPDATED_AT = SearchAttributeKey.for_datetime("OrderUpdatedAt")
ORDER_CLUSTER = SearchAttributeKey.for_keyword("OrderCluster")
ORDER_ID = SearchAttributeKey.for_keyword("OrderID")
ORDER_CUSTOMER_TIER = SearchAttributeKey.for_keyword("OrderCustomerTier")
ORDER_TOTAL_MINOR = SearchAttributeKey.for_int("OrderTotalMinor")
ORDER_APPROVAL_DEADLINE = SearchAttributeKey.for_datetime("OrderApprovalDeadline")
SEARCH_ATTRIBUTES = (
    ORDER_STATUS,
    ORDER_SEQ,
    ORDER_UPDATED_AT,
    ORDER_CLUSTER,
    ORDER_ID,
    ORDER_CUSTOMER_TIER,
    ORDER_TOTAL_MINOR,
    ORDER_APPROVAL_DEADLINE,
)

MEMO_SNAPSHOT = "order"
"""Memo key of the `OrderSnapshot`."""
MEMO_STOCK_SNAPSHOT = "stock"
"""Memo key of the `StockSnapshot`."""
MEMO_PIPELINE = "pipeline"
"""Memo key of the names of the order's steps: also of those that have not begun. Written once in each run."""
MEMO_UID = "uid"
"""Memo key of the resource's uid."""
MEMO_INPUT_HASH = "inputHash"
"""Memo key of `input_hash`: tells another spec under the same workflow id apart from a repeated start."""
MEMO_ORPHANED = "orphaned"
"""Memo key, true when the resource was deleted with deletionPolicy Orphan: no sweep may cancel such a run."""
MEMO_TAKEOVERS = "takeovers"
"""Memo key: how many runs before this one stopped without an end of their order. Only the operator reads it."""

UPDATE_APPROVE = "approve"
UPDATE_REJECT = "reject"
UPDATE_CHANGE_ADDRESS = "change_address"
UPDATE_CHANGE_LINES = "change_lines"
UPDATE_CANCEL = "cancel"
UPDATE_SUSPEND = "suspend"
UPDATE_RESUME = "resume"
UPDATE_RETRY = "retry"
UPDATE_ADOPT = "adopt"
SIGNAL_APPROVE_ORDER = "approve_order"
SIGNAL_APPROVE = "approve"
SIGNAL_CANCEL_ORDER = "cancel_order"
SIGNAL_UPDATE_ADDRESS = "update_address"
SIGNAL_ORPHAN = "orphan"
SIGNAL_STOCK_ARRIVED = "stock_arrived"
SIGNAL_STOCK_CHANGED = "stock_changed"
"""To a StockItemWorkflow: look at the ledger."""
SIGNAL_CONFIGURE = "configure"
"""To a StockItemWorkflow: keep the stock by these `StockSettings`."""
QUERY_STATUS = "get_status"
QUERY_PROGRESS = "get_progress"
QUERY_ITEMS = "get_items"
QUERY_REQUIRES_APPROVAL = "requires_approval"

UNREADABLE_YET = frozenset({"KeyMissing", "NewerVersion"})
"""Types of the errors of a program that cannot read or write a payload yet: it lacks a key, or is too old."""

REVISION = 5
"""Of the workflow code, given to new orders with their input: an order keeps the behaviour that it began with.

1  every step publishes itself at once
2  steps inside a workflow task publish only if they last; customers are told of an early end
3  few shipments at once; another country is checked again; the ledger learns of every pivot; customers are told of a
   failure, too
4  a signalled address is judged by the rules of today; what costs nothing needs no approval in any currency;
   signals of the reference systems are heard; the confirmation says where the parcels go
5  the audit trail has who ordered, who edited last and how far the name of who decided is proven; changes of lines,
   suspensions and repeated tries
"""

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=10)
"""The server's default, named because the scanner's overlap is derived from it."""


class ResourceIdentity(Value):
    """Which resource, in which cluster, an order or a stock item is."""

    cluster: str
    """Value of the search attribute OrderCluster: one per operator installation that shares a Temporal namespace."""
    namespace: str
    name: str
    uid: str


class OrderInput(Value):
    """All that an order's workflow starts with; it never reads the cluster."""

    identity: ResourceIdentity
    spec: OrderSpec
    class_name: str
    class_generation: int = 0
    """metadata.generation of the class when it was copied into `policy`."""
    policy: OrderClassSpec
    generation: int
    """metadata.generation of the resource when it was submitted."""
    revision: int = 1
    """`REVISION` of the code that submitted the order; an input without it is older than the field."""
    postal_code: str | None = None
    """Of `spec.shipping_address`, where that has a company, state or telephone number. A worker older than these would
    ship without them. It cannot read an address without a postal code, and the order waits for a newer worker."""
    shown_payment: PaymentRecord | None = None
    """What the resource's status shows of the money, where Temporal has lost the run that had moved it. The ledger has
    to know of it too: if it does not, a person has to look before anything is charged."""
    ordered_at: datetime | None = None
    """When the resource was created. A run that begins anew after its history was lost is younger. An older worker
    leaves it out."""
    begins_again: str | None = None
    """Uid of the order that the resource's status shows, where that was another: it was restored from a backup, and
    Temporal has lost that order's workflow. The ledger looks whether that order has the number, whatever installation
    had begun it."""
    abandoned: OrderSnapshot | None = None
    """What an earlier run of the same workflow had published when somebody terminated it. This run undoes what that one
    did, or goes on if the order is past its pivot."""
    notes: list[AuditNote] = Field(default_factory=list)
    """What people did about the order in the run that this one goes on from, and that rode in no request to the ledger
    there. An older worker leaves it out."""

    @classmethod
    def of(cls, spec: OrderSpec, **fields: Any) -> Self:
        """For an order as it stands in its resource."""
        address = spec.shipping_address
        if address.postal_code is None or not (address.company or address.state or address.phone):
            return cls(spec=spec, **fields)
        bare = address.model_copy(update={"postal_code": None})
        return cls(spec=spec.model_copy(update={"shipping_address": bare}), postal_code=address.postal_code, **fields)

    @property
    def ordered(self) -> OrderSpec:
        """The spec with its whole address."""
        if self.postal_code is None:
            return self.spec
        address = self.spec.shipping_address.model_copy(update={"postal_code": self.postal_code})
        return self.spec.model_copy(update={"shipping_address": address})

    @property
    def order_id(self) -> str:
        """The order number that the ledger holds unique within the namespace."""
        return self.spec.order_id or self.identity.name


class OrderResult(Value):
    """What the workflow returns; business ends are results too, only technical exhaustion fails the run."""

    status: str
    """An `OrderStatus` value."""
    order_id: str
    total_minor: int
    reservation_id: str | None = None
    transaction_id: str | None = None
    refund_id: str | None = None
    tracking_numbers: list[str] = Field(default_factory=list)
    shipping_address: Address | None = None
    """The address in force when the order ended."""
    message: str | None = None
    """Why the order ended so, when it did not complete."""


class Message(Value):
    """Argument of an Update or a signal. Any JSON is decoded: an Update is refused with what is wrong where it is
    judged, and a validation error in a workflow would have no bound."""

    unreadable: str | None = Field(default=None, exclude=True)
    """What is wrong with a message that is none of this type; no other field counts then."""

    @model_validator(mode="wrap")
    @classmethod
    def _decode(cls, data: Any, decode: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return decode(data)
        except ValidationError as invalid:
            if info.mode != "json":
                raise
            return cast("Self", cls.model_construct(unreadable=shortened("; ".join(field_errors(invalid)))))


Generation = Annotated[int, Judged(Field(ge=0, le=2**63 - 1))]
"""metadata.generation of a resource."""
Channel = Annotated[str, Judged(StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,63}$"))]
KUBERNETES = "kubernetes"
"""The channel of what the operator sends for a resource. Its Updates have ids of `resource_update_id`."""
TEMPORAL = "temporal"
"""The channel of what any other client of Temporal sends."""
SIGNAL = "signal"
"""The channel of a signal."""
POLICY = "policy"
"""The channel of a decision that no person made."""
Digest = Annotated[str, Judged(StringConstraints(max_length=64))]


class Decision(Message):
    """Argument of the Updates `approve` and `reject`."""

    by: UserName
    reason: Reason | None = None
    generation: Generation = 0
    """metadata.generation that the decider saw; 0 from clients that know no resource."""
    total_minor: Annotated[int, Judged(Field(ge=0, le=MAX_MINOR))] | None = None
    """The amount that the decider saw, in minor units of `currency`. Needed once the lines changed while the order
    waited."""
    currency: Annotated[str, Judged(StringConstraints(max_length=3))] | None = None
    digest: Digest | None = None
    """`order_domain.order.lines_digest` of what the decider saw."""
    requester: UserName | None = None
    """Who ordered."""
    editor: UserName | None = None
    """Who edited the order last."""
    proof: Proof | None = None
    """How far the operator has found `by` proven; from others it counts for nothing."""
    channel: Channel = TEMPORAL
    """How the message came: `kubernetes` from the operator, `temporal` from a client of the workflow, `signal`, or
    `policy` where no person decided."""


class AddressChange(Message):
    """Argument of the Update `change_address`."""

    address: Address
    generation: Generation = 0
    """metadata.generation that asks for it; 0 from clients that know no resource, whose address stands until the
    resource asks for another."""
    by: UserName | None = None
    """Who asks for it, as far as known."""
    channel: Channel = TEMPORAL
    """As in `Decision`."""


class LinesChange(Message):
    """Argument of the Update `change_lines`: all lines as they are to be."""

    lines: Annotated[list[OrderLine], FailFast(), Judged(Field(min_length=1, max_length=MAX_LINES))]
    charges: Annotated[list[OrderCharge] | None, Judged(Field(max_length=MAX_CHARGES))] = None
    """All charges as they are to be. None, as from a client of an earlier release: they stay as they are."""
    generation: Generation = 0
    """metadata.generation that asks for them; 0 from clients that know no resource. A decision about an earlier
    generation is refused from then on."""
    by: UserName | None = None
    """Who asks for it, as far as known."""
    channel: Channel = TEMPORAL
    """As in `Decision`."""


class CancelRequest(Message):
    """Argument of the Update `cancel`."""

    by: UserName | None = None
    reason: Reason | None = None
    channel: Channel = TEMPORAL
    """As in `Decision`."""


class Adoption(Message):
    """Argument of the Update `adopt`: the order belongs to another resource from now on, one restored from a backup."""

    uid: Annotated[str, Judged(StringConstraints(pattern=r"^[A-Za-z0-9-]{1,63}$"))]
    """Of the resource."""
    cluster: Annotated[str, Judged(StringConstraints(min_length=1, max_length=63))]
    """Identity of the installation that has it."""
    generation: Generation
    """Its metadata.generation: they count from there."""
    channel: Channel = TEMPORAL
    """As in `Decision`."""


class ShipmentInput(Value):
    """What the shipment of one line starts with, as a child workflow or behind a Nexus operation."""

    order: ResourceIdentity
    line: OrderLine
    address: Address
    requested_at: datetime
    """Workflow time of the request; the estimated delivery counts from it."""
    ship_operation_id: str
    """The same in every shipping mode, so that the ledger and the carrier recognise a repetition."""
    packed: bool
    """True when the order's own step PrepareShipment has packed the line."""
    retry: StepRetry
    simulation: Simulation = Simulation()
    """Of the order's class."""
    lines_digest: str | None = None
    """Of the order's lines and charges, as its workflow knows them."""
    asked_for: str | None = None
    """`asked_for` of the order's workflow, which the answer repeats. None from an older one."""
    forward_only: bool = False
    """The order is past its pivot: what is packed stays packed, and is asked for again with the parcel."""


class StockItemInput(Value):
    """What the workflow of a stock item starts with, and hands on to itself when its history has grown long."""

    item: ResourceIdentity
    sku: str
    initial_on_hand: int
    """Pieces of an article that the ledger does not have yet; an article that it has keeps its counts."""
    settings: StockSettings
    seq: int = 0
    """Number of the last snapshot that an earlier run of the same workflow published."""
    follows: str | None = None
    """Id of the workflow of an earlier release that this one takes the place of."""
    released: bool = False
    """The resource was deleted before an earlier run's end: Temporal does not hand a cancellation on to the next."""
    on_order: SupplierOrderRecord | None = None
    """The open order at the supplier that an earlier run knew of."""

    @classmethod
    def of(cls, item: ResourceIdentity, spec: StockItemSpec, generation: int) -> "StockItemInput":
        """For a resource as it is at `generation`."""
        return cls(
            item=item,
            sku=spec.sku,
            initial_on_hand=spec.initial_on_hand,
            settings=StockSettings(minimum=spec.minimum, target=spec.target, generation=generation),
        )


def resource_update_id(uid: str, about: str) -> str:
    """Id of an Update that the operator sends for the resource `uid`; deterministic, so that Temporal recognises a
    repetition."""
    return f"{uid}/{about}"


def is_of_resource(update_id: str, uid: str) -> bool:
    """Whether an Update with this id was sent for the resource `uid`. A client of Temporal can forge it: who may send
    an Update at all, Temporal's own authorization decides."""
    return update_id.startswith(f"{uid}/")


def generation_of(update_id: str) -> int:
    """metadata.generation that an Update of the operator is about, by its id; 0 where that does not tell."""
    last = update_id.rpartition("/")[2]
    return int(last) if re.fullmatch(r"[0-9]{1,18}", last) else 0


class RunKey(NamedTuple):
    """The parts of a workflow id."""

    namespace: str
    name: str
    uid: str


def workflow_id(namespace: str, name: str, uid: str) -> str:
    """`order/<namespace>/<name>/<uid>`: a resource deleted and created again under its name is another order."""
    return f"order/{namespace}/{name}/{uid}"


def shipment_workflow_id(order: ResourceIdentity, line_id: str) -> str:
    """`shipment/<namespace>/<name>/<uid>/<lineID>`."""
    return f"shipment/{order.namespace}/{order.name}/{order.uid}/{line_id}"


def asked_for(ship_operation_id: str, line: OrderLine, address: Address) -> str:
    """Fingerprint of a shipment, of what the ledger compares. Whoever asks for one that is under way gets its result,
    whatever it was asked for."""
    text = "\n".join([ship_operation_id, line.line_id, line.sku, str(line.quantity), digest(address)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_workflow_id(identifier: str) -> RunKey | None:
    """The inverse of `workflow_id`; None for an id that is not an order's."""
    parts = identifier.split("/")
    if len(parts) != 4 or parts[0] != "order" or not all(parts):
        return None
    return RunKey(*parts[1:])


def whose(identifier: str) -> dict[str, str]:
    """namespace, name and uid of the order that a workflow's id names, as log lines have them; empty for the id of a
    workflow that is no order's."""
    match identifier.split("/"):
        case ["order", namespace, name, uid] | ["shipment", namespace, name, uid, _]:
            return {"namespace": namespace, "name": name, "uid": uid}
    return {}


class StockKey(NamedTuple):
    """The parts of a stock item's workflow id."""

    cluster: str | None
    """Identity of the installation; None in an id of `former_stock_workflow_id`."""
    sku: str


def stock_workflow_id(cluster: str, sku: str) -> str:
    """`stock/<cluster>/<sku>`: in an installation the first of several items for an article keeps it."""
    return f"stock/{cluster}/{sku}"


def former_stock_workflow_id(sku: str) -> str:
    """`stock/<sku>`, as earlier releases had it: one workflow for an article of all installations."""
    return f"stock/{sku}"


def parse_stock_workflow_id(identifier: str) -> StockKey | None:
    """The inverse of both; None for an id that is not a stock item's."""
    match identifier.split("/"):
        case ["stock", str(sku)] if sku:
            return StockKey(None, sku)
        case ["stock", str(cluster), str(sku)] if cluster and sku:
            return StockKey(cluster, sku)
    return None


def input_hash(spec: OrderSpec) -> str:
    """Fingerprint of what was ordered: everything of the spec that no message can change later."""
    fixed = spec.model_dump_json(
        include={"order_id", "class_name", "customer", "currency", "payment"}, exclude_none=True
    )
    return hashlib.sha256(fixed.encode()).hexdigest()[:16]
