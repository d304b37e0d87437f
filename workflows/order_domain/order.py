"""What a customer orders: the `spec` of an Order resource and the input of its workflow.

The bounds together keep the largest possible spec below 128 KiB of JSON, so that no order can outgrow an etcd object
or a Temporal payload; tests/unit/domain holds them to it.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from order_domain.money import MAX_MINOR, Currency
from order_domain.value import Value

MAX_LINES = 200
MAX_TTL_SECONDS = 315_360_000
"""Ten years."""
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
]
"""Letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit; at most 63 characters."""

Text = Annotated[str, StringConstraints(max_length=100, pattern=NO_CONTROL_CHARACTERS)]
"""One printable line of at most 100 characters."""

RequiredText = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_CONTROL_CHARACTERS)]

Reason = Annotated[str, StringConstraints(max_length=256, pattern=NO_CONTROL_CHARACTERS)]
"""Why a person decided so, in one line of at most 256 characters."""


class Customer(Value):
    """Who ordered."""

    id: Identifier
    """The shop's own identifier of the customer."""
    email: Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Where the confirmation goes; without it none is sent."""


class OrderLine(Value):
    """One article of the order."""

    line_id: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")]
    """Identifies the line within the order."""
    sku: Identifier
    """The article, as the stock ledger knows it."""
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of pieces."""
    unit_price_minor: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """Price of one piece in minor units of the order's currency (cents for USD)."""
    description: Text | None = None
    """Free text for people."""

    @property
    def amount_minor(self) -> int:
        """Price of the whole line in minor units."""
        return self.quantity * self.unit_price_minor


class Address(Value):
    """Where the parcel goes."""

    name: RequiredText
    """Recipient."""
    line1: RequiredText
    """Street and house number."""
    line2: Text | None = None
    """Flat, floor, company."""
    city: RequiredText
    """Town."""
    postal_code: Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9 -]+$")]
    """Postal code; letters, digits, spaces and dashes."""
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$", min_length=2, max_length=2)]
    """ISO 3166-1 alpha-2 code, for example US."""


class Payment(Value):
    """How the customer pays."""

    method: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_]+$")]
    """A payment provider's token, for example `tok_visa`; never card data."""


class DecisionKind(StrEnum):
    """What an approver can decide."""

    APPROVED = "Approved"
    REJECTED = "Rejected"


class Approval(Value):
    """A person's decision about an order that needs one."""

    decision: DecisionKind
    """`Approved` or `Rejected`. The first decision is final."""
    by: RequiredText
    """Who decided."""
    reason: Reason | None = None
    """Why."""


class Cancellation(Value):
    """The wish to stop the order and undo what was done."""

    by: RequiredText | None = None
    """Who asks for it."""
    reason: Reason | None = None
    """Why."""


class DeletionPolicy(StrEnum):
    """What becomes of a running workflow when its Order resource is deleted."""

    CANCEL = "Cancel"
    ORPHAN = "Orphan"


class OrderSpec(Value):
    """The wanted order. Identity, customer, class, currency and payment are fixed once created; the rest may be edited
    until the workflow has gone past the step that uses it."""

    order_id: Identifier | None = Field(default=None, alias="orderID")
    """The shop's order number, unique within the namespace; default: the resource's name."""
    class_name: Identifier | None = None
    """The OrderClass to follow; default: the class annotated `order-platform.dev/is-default-class: "true"`."""
    customer: Customer
    currency: Currency
    """ISO 4217 code of every amount in this order."""
    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=MAX_LINES)]
    """What is ordered; keyed by `lineID`. May be edited until the order is approved or charged."""
    total_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    """Total in minor units; if given it must equal the sum of quantity x unitPriceMinor over all lines."""
    shipping_address: Address
    payment: Payment
    approval: Approval | None = None
    cancellation: Cancellation | None = None
    suspend: bool = False
    """True holds the order before its next step until set to false again."""
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL
    """`Cancel`: deleting the resource cancels and undoes a running order first. `Orphan`: the workflow goes on."""

    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_TTL_SECONDS)] | None = None
    """How long the resource is kept once the order has finished, in seconds; default: as the class says."""

    @property
    def sum_minor(self) -> int:
        """The total of all lines in minor units."""
        return sum(line.amount_minor for line in self.lines)

    @model_validator(mode="after")
    def _lines_are_distinct(self) -> Self:
        seen: set[str] = set()
        for line in self.lines:
            if line.line_id in seen:
                raise ValueError(f"lines: duplicate lineID {line.line_id!r}")
            seen.add(line.line_id)
        return self

    @model_validator(mode="after")
    def _total_is_the_sum(self) -> Self:
        if self.sum_minor > MAX_MINOR:
            raise ValueError(f"lines: the sum {self.sum_minor} is beyond the largest amount {MAX_MINOR}")
        if self.total_minor is not None and self.total_minor != self.sum_minor:
            raise ValueError(f"totalMinor: is {self.total_minor} but the lines sum to {self.sum_minor}")
        return self


def digest(value: Value | list[OrderLine] | None) -> str:
    """A short stable fingerprint of a part of a spec, whatever the order of its keys or lines."""
    if value is None:
        return "none"
    parts = sorted(value, key=lambda line: line.line_id) if isinstance(value, list) else [value]
    text = "\n".join(part.model_dump_json(exclude_none=True) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
