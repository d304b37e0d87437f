"""What a customer orders: the `spec` of an Order resource and the input of its workflow.

Bounds and rules hold where an order is judged, not where it is decoded: `order_domain.judgement`.

The bounds together keep the largest possible spec below 128 KiB of JSON, so that no order can outgrow an etcd object
or a Temporal payload; tests/unit/domain holds them to it.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from order_domain.card_number import is_card_number
from order_domain.country import country
from order_domain.judgement import Form, Judged, rule
from order_domain.money import MAX_MINOR, Currency
from order_domain.value import Value
from order_domain.visible_text import NO_GLYPHS, compiled, visible, visible_or_empty

MAX_LINES = 200
MAX_CHARGES = 50
MAX_CHARGE_MINOR = 1_000_000_000_000_000
"""Largest amount of one charge, in minor units: the price of a million pieces at the highest unit price."""
MAX_DESCRIPTIONS = 20_000
"""Characters that the descriptions of all lines and charges have together at most: as many as those of all lines may
have alone."""
MAX_NAMES = 400
"""Characters that the names of all who ordered, edited, decided and cancelled have together at most."""
MAX_TTL_SECONDS = 315_360_000
"""Ten years."""
MAX_RETRY = 2_147_483_647
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"

Identifier = Annotated[
    str, Judged(StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"))
]
"""Letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit; at most 63 characters."""

Text = Annotated[str, Judged(StringConstraints(max_length=100, pattern=NO_CONTROL_CHARACTERS))]
"""One printable line of at most 100 characters."""

EntryID = Annotated[str, Judged(StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$"))]
"""Identifies an entry of a list: letters, digits, `-` and `_`, at most 32 characters."""

VisibleText = Annotated[str, Judged(StringConstraints(min_length=1, max_length=100), Form("visible-text", visible))]
"""One line of at most 100 characters that names a person or a place: `order_domain.visible_text`."""

UserName = Annotated[str, Judged(StringConstraints(min_length=1, max_length=256), Form("visible-text", visible))]
"""Who acted, as the cluster names its users: one visible line of at most 256 characters."""

Reason = Annotated[str, Judged(StringConstraints(max_length=256, pattern=NO_CONTROL_CHARACTERS))]
"""Why a person decided so, in one line of at most 256 characters."""


def _matching(pattern: str, otherwise: str) -> Callable[[str], str]:
    """Returns text that matches. Raises ValueError, without the text: it is about a person."""
    expected = compiled(pattern)

    def check(text: str) -> str:
        if not expected.search(text):
            raise ValueError(otherwise)
        return text

    return check


EMAIL = f"^[^@{NO_GLYPHS}]+@[^@{NO_GLYPHS}]+$"
EMAIL_NEEDED = "must be a mail address, with one @ and no blank or invisible character"
POSTAL_CODE = "^[A-Za-z0-9]([A-Za-z0-9 -]*[A-Za-z0-9])?$"
POSTAL_CODE_NEEDED = (
    "must be letters and digits, with spaces or dashes between them: leave it out where the country has no postal codes"
)
PHONE = "^[+]?[(]?[0-9][0-9 ()./-]*[0-9]( ?(x|ext[.]?) ?[0-9]{1,6})?$"
PHONE_NEEDED = "must be a telephone number, such as +1 217 555 0100"
PAYMENT_METHOD = "^[A-Za-z0-9_]+$"
PAYMENT_METHOD_NEEDED = "must be a token of the payment provider: letters, digits and _"
CARD_NUMBER = "looks like a card number, which an order must never hold: give a token of the payment provider"

Email = Annotated[str, Judged(StringConstraints(max_length=254), Form("mail-address", _matching(EMAIL, EMAIL_NEEDED)))]
"""An address with one `@` and no character that cannot be seen."""


def _token(text: str) -> str:
    if is_card_number(text):
        raise ValueError(CARD_NUMBER)
    return _matching(PAYMENT_METHOD, PAYMENT_METHOD_NEEDED)(text)


class Customer(Value):
    """Who ordered."""

    id: Identifier
    """The shop's own identifier of the customer."""
    email: Email | None = None
    """Where the confirmation goes; without it none is sent."""


class OrderLine(Value):
    """One article of the order."""

    line_id: EntryID
    """Identifies the line within the order."""
    sku: Identifier
    """The article, as the stock ledger knows it."""
    quantity: Annotated[int, Judged(Field(ge=1, le=1_000_000))]
    """Number of pieces."""
    unit_price_minor: Annotated[int, Judged(Field(ge=0, le=1_000_000_000))]
    """Price of one piece in minor units of the order's currency (cents for USD)."""
    description: Text | None = None
    """Free text for people."""

    @property
    def amount_minor(self) -> int:
        """Price of the whole line in minor units."""
        return self.quantity * self.unit_price_minor


class ChargeKind(StrEnum):
    """What an amount beside the goods is for. The kind decides what becomes of it where an order is kept in part:
    `order_domain.allocation`."""

    SHIPPING = "Shipping"
    TAX = "Tax"
    FEE = "Fee"
    DISCOUNT = "Discount"


class OrderCharge(Value):
    """An amount of the order that is not for an article: shipping, tax, a fee or a discount."""

    charge_id: EntryID
    """Identifies the charge within the order."""
    kind: ChargeKind
    """`Shipping`, `Tax`, `Fee` or `Discount`."""
    amount_minor: Annotated[int, Judged(Field(ge=-MAX_CHARGE_MINOR, le=MAX_CHARGE_MINOR))]
    """Amount in minor units of the order's currency: negative for a discount, zero or more for every other kind."""
    description: Text | None = None
    """Free text for people."""

    @rule
    def _only_a_discount_is_negative(self) -> None:
        if self.kind is ChargeKind.DISCOUNT and self.amount_minor >= 0:
            raise ValueError(f"amountMinor: is {self.amount_minor} but a discount is negative")
        if self.kind is not ChargeKind.DISCOUNT and self.amount_minor < 0:
            raise ValueError(f"amountMinor: is {self.amount_minor} but only a discount is negative")


class Address(Value):
    """Where the parcel goes."""

    name: VisibleText
    """Recipient."""
    company: VisibleText | None = None
    """Company of the recipient."""
    line1: VisibleText
    """Street and house number."""
    line2: (
        Annotated[str, Judged(StringConstraints(max_length=100), Form("visible-text-or-empty", visible_or_empty))]
        | None
    ) = None
    """Flat, floor."""
    city: VisibleText
    """Town."""
    state: VisibleText | None = None
    """State, province or region, where the country's addresses have one: IL."""
    postal_code: (
        Annotated[
            str,
            Judged(
                StringConstraints(min_length=1, max_length=16),
                Form("postal-code", _matching(POSTAL_CODE, POSTAL_CODE_NEEDED)),
            ),
        ]
        | None
    ) = None
    """Postal code; letters, digits, spaces and dashes. Left out where the country has none."""
    country: Annotated[str, Judged(StringConstraints(min_length=2, max_length=2), Form("country", country))]
    """ISO 3166-1 alpha-2 code, for example US; GB for the United Kingdom."""
    phone: (
        Annotated[
            str,
            Judged(StringConstraints(min_length=2, max_length=40), Form("phone", _matching(PHONE, PHONE_NEEDED))),
        ]
        | None
    ) = None
    """Where the carrier can reach the recipient."""

    @property
    def label(self) -> str:
        """The address as it stands on a parcel: one line each, what is not given left out."""
        town = ", ".join(filter(None, (self.city, self.state)))
        place = " ".join(filter(None, (town, self.postal_code)))
        phone = self.phone and f"Phone: {self.phone}"
        lines = (self.name, self.company, self.line1, self.line2, place, self.country, phone)
        return "\n".join(filter(None, lines))


class Payment(Value):
    """How the customer pays."""

    method: Annotated[str, Judged(StringConstraints(min_length=1, max_length=128), Form("payment-token", _token))]
    """A payment provider's token, for example `tok_visa`; never card data."""


class DecisionKind(StrEnum):
    """What an approver can decide."""

    APPROVED = "Approved"
    REJECTED = "Rejected"


class Approval(Value):
    """A person's decision about an order that needs one."""

    decision: DecisionKind
    """`Approved` or `Rejected`. The first decision is final."""
    by: UserName
    """Who decided: your user name in the cluster. Where the admission policies are in force it is filled in, and
    another name is refused."""
    reason: Reason | None = None
    """Why."""
    total_minor: Annotated[int, Judged(Field(ge=0, le=MAX_MINOR))] | None = None
    """The total that was decided about, in minor units; if given it must equal the sum of this order's lines and
    charges."""


class Proof(StrEnum):
    """How far the name of who decided is proven."""

    POLICY = "Policy"
    """The cluster's admission policies allow a decision under the decider's own name only."""
    CLAIMED = "Claimed"
    """The name is what the decision says of itself."""


class Cancellation(Value):
    """The wish to stop the order and undo what was done."""

    by: UserName | None = None
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
    """The OrderClass to follow; default: the class that the label `order-platform.dev/default-class` of the namespace
    names, or else the class that has this label with the value `true`."""
    customer: Customer
    currency: Currency
    """ISO 4217 code of every amount in this order."""
    lines: Annotated[list[OrderLine], Judged(Field(min_length=1, max_length=MAX_LINES))]
    """What is ordered; keyed by `lineID`. May be edited until the order is approved or charged."""
    charges: Annotated[list[OrderCharge], Judged(Field(max_length=MAX_CHARGES))] = Field(default_factory=list)
    """What the order costs beside the goods; keyed by `chargeID`. May be edited as long as the lines may."""
    total_minor: Annotated[int, Judged(Field(ge=0, le=MAX_MINOR))] | None = None
    """Total in minor units; if given it must equal the sum of quantity x unitPriceMinor over all lines and of
    amountMinor over all charges."""
    shipping_address: Address
    payment: Payment
    approval: Approval | None = None
    cancellation: Cancellation | None = None
    requested_by: UserName | None = None
    """Who ordered: a user name of the cluster. Needed where the class has `approval.fourEyes`, for this person may not
    decide about the order. Fixed once set."""
    edited_by: UserName | None = None
    """Who edited the order last: a user name of the cluster. Where the class has `approval.fourEyes`, this person may
    not decide about the order either."""
    retry: Annotated[int, Judged(Field(ge=0, le=MAX_RETRY))] = 0
    """Raise it by one to try again at once what waits in ManualReview. Never falls."""
    suspend: bool = False
    """True holds the order before its next step until set to false again; a wait keeps its deadline."""
    adopt_from: Identifier | None = None
    """For an order restored from a backup of another cluster: the identity of the installation whose workflow, still
    under way, this resource takes over. The operator's own identity: none is taken over, and a new order begins."""
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL
    """`Cancel`: deleting the resource cancels and undoes a running order first. `Orphan`: the workflow goes on."""

    ttl_seconds_after_finished: Annotated[int, Judged(Field(ge=0, le=MAX_TTL_SECONDS))] | None = None
    """How long the resource is kept once the order has finished, in seconds; default: as the class says."""

    @property
    def sum_minor(self) -> int:
        """The total of all lines and charges in minor units."""
        return sum_minor(self.lines, self.charges)

    def with_lines(self, lines: Sequence[OrderLine], charges: Sequence[OrderCharge]) -> Self:
        """The same order for other lines and charges, with its total stated.

        A worker of a release without charges ignores those, and refuses to decode a total that is not the sum of the
        lines: such an order waits for a newer worker. Charges that add up to nothing change no amount.
        """
        total = {"total_minor": sum_minor(lines, charges)}
        return self.model_copy(update={"lines": list(lines), "charges": list(charges), **total})

    @rule
    def _entries_are_distinct(self) -> None:
        _distinct("lines", "lineID", [line.line_id for line in self.lines])
        _distinct("charges", "chargeID", [charge.charge_id for charge in self.charges])

    @rule
    def _descriptions_are_short(self) -> None:
        descriptions = [line.description for line in self.lines] + [charge.description for charge in self.charges]
        length = sum(len(description or "") for description in descriptions)
        if length > MAX_DESCRIPTIONS:
            raise ValueError(f"charges: all descriptions together have {length} characters, {MAX_DESCRIPTIONS} at most")

    @rule
    def _names_are_short(self) -> None:
        acts = [act for act in (self.approval, self.cancellation) if act is not None]
        length = sum(len(name or "") for name in (self.requested_by, self.edited_by, *(act.by for act in acts)))
        if length > MAX_NAMES:
            raise ValueError(f"editedBy: all names of users together have {length} characters, {MAX_NAMES} at most")

    @rule
    def _totals_are_the_sum(self) -> None:
        lines, total = sum_minor(self.lines), self.sum_minor
        if lines > MAX_MINOR:
            raise ValueError(f"lines: the sum {lines} is beyond the largest amount {MAX_MINOR}")
        if total > MAX_MINOR:
            raise ValueError(f"charges: the total {total} is beyond the largest amount {MAX_MINOR}")
        if total < 0:
            raise ValueError(f"charges: the total is {total}: discounts cannot be more than all else together")
        if self.total_minor is not None and self.total_minor != total:
            raise ValueError(f"totalMinor: is {self.total_minor} but lines and charges sum to {total}")
        if self.approval is not None and self.approval.total_minor not in (None, total):
            raise ValueError(
                f"approval.totalMinor: is {self.approval.total_minor} but lines and charges sum to {total}"
            )


def sum_minor(lines: Sequence[OrderLine], charges: Sequence[OrderCharge] = ()) -> int:
    """What lines and charges cost together, in minor units."""
    return sum(line.amount_minor for line in lines) + sum(charge.amount_minor for charge in charges)


def digest(value: Value | Sequence[OrderLine] | None) -> str:
    """A short stable fingerprint of a part of a spec, whatever the order of its keys or lines."""
    if value is None:
        return "none"
    return _fingerprint([value]) if isinstance(value, Value) else lines_digest(value, ())


def lines_digest(lines: Sequence[OrderLine], charges: Sequence[OrderCharge]) -> str:
    """A short stable fingerprint of all that an order costs, whatever the order of lines and of charges. Without
    charges it is the one that releases without charges compute."""
    in_order = sorted(lines, key=lambda line: line.line_id)
    return _fingerprint([*in_order, *sorted(charges, key=lambda charge: charge.charge_id)])


def _fingerprint(parts: Sequence[Value]) -> str:
    text = "\n".join(part.model_dump_json(exclude_none=True) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _distinct(field: str, key: str, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for entry in ids:
        if entry in seen:
            raise ValueError(f"{field}: duplicate {key} {entry!r}")
        seen.add(entry)
