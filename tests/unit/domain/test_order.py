from hashlib import sha256

import pytest
from builders import a_line, an_address, an_order_spec
from pydantic import ValidationError

from order_domain.judgement import judge
from order_domain.money import MAX_MINOR
from order_domain.order import (
    MAX_CHARGES,
    MAX_LINES,
    MAX_RETRY,
    Approval,
    ChargeKind,
    DecisionKind,
    OrderCharge,
    OrderLine,
    OrderSpec,
    digest,
    lines_digest,
)

WIDEST = "\N{PACKAGE}"
"""Four bytes in UTF-8, the most that a character can take."""


def a_charge(**changes: object) -> OrderCharge:
    """5.00 for shipping."""
    return judge(OrderCharge, {"charge_id": "ship", "kind": "Shipping", "amount_minor": 500, **changes})


def test_the_sum_counts_every_piece_of_every_line() -> None:
    spec = an_order_spec(
        lines=[
            a_line(line_id="1", quantity=2, unit_price_minor=37_500),
            a_line(line_id="2", quantity=3, unit_price_minor=1),
        ]
    )

    assert spec.sum_minor == 75_003


def test_a_total_that_is_the_sum_is_accepted() -> None:
    assert an_order_spec(lines=[a_line(quantity=2)], total_minor=100_000).total_minor == 100_000


def test_a_total_that_is_not_the_sum_is_refused_with_both_figures() -> None:
    with pytest.raises(ValidationError, match="totalMinor: is 99999 but lines and charges sum to 100000"):
        an_order_spec(lines=[a_line(quantity=2)], total_minor=99_999)


def test_a_sum_that_a_double_cannot_hold_is_refused() -> None:
    huge = [a_line(line_id=str(n), quantity=1_000_000, unit_price_minor=1_000_000_000) for n in range(10)]

    with pytest.raises(ValidationError, match=f"beyond the largest amount {MAX_MINOR}"):
        an_order_spec(lines=huge)


def test_a_line_id_used_twice_is_named() -> None:
    with pytest.raises(ValidationError, match="lines: duplicate lineID 'b'"):
        an_order_spec(lines=[a_line(line_id="a"), a_line(line_id="b"), a_line(line_id="b")])


def test_the_sum_counts_charges_and_takes_discounts_off() -> None:
    charges = [a_charge(), a_charge(charge_id="code", kind="Discount", amount_minor=-100)]

    assert an_order_spec(lines=[a_line(unit_price_minor=5_000)], charges=charges, total_minor=5_400).sum_minor == 5_400


def test_a_discount_on_all_there_is_makes_an_order_free() -> None:
    charges = [a_charge(), a_charge(charge_id="code", kind="Discount", amount_minor=-50_500)]

    assert an_order_spec(charges=charges).sum_minor == 0


def test_a_discount_on_more_than_there_is_is_refused() -> None:
    charges = [a_charge(), a_charge(charge_id="code", kind="Discount", amount_minor=-50_501)]

    with pytest.raises(ValidationError, match="charges: the total is -1"):
        an_order_spec(charges=charges)


def test_charges_beyond_what_a_double_can_hold_are_refused() -> None:
    charges = [a_charge(charge_id=str(n), amount_minor=10**15) for n in range(10)]

    with pytest.raises(ValidationError, match=f"charges: the total .* is beyond the largest amount {MAX_MINOR}"):
        an_order_spec(charges=charges)


@pytest.mark.parametrize("amount_minor", [0, 1])
def test_a_discount_that_takes_nothing_off_is_refused(amount_minor: int) -> None:
    with pytest.raises(ValidationError, match="a discount is negative"):
        a_charge(kind="Discount", amount_minor=amount_minor)


@pytest.mark.parametrize("kind", sorted(set(ChargeKind) - {ChargeKind.DISCOUNT}))
def test_a_negative_amount_that_is_no_discount_is_refused(kind: ChargeKind) -> None:
    with pytest.raises(ValidationError, match="only a discount is negative"):
        a_charge(kind=kind, amount_minor=-1)


def test_a_charge_id_used_twice_is_named() -> None:
    with pytest.raises(ValidationError, match="charges: duplicate chargeID 'ship'"):
        an_order_spec(charges=[a_charge(), a_charge(kind="Tax")])


def test_descriptions_that_are_long_all_together_are_refused() -> None:
    lines = [a_line(line_id=str(n), description="x" * 100) for n in range(MAX_LINES)]

    with pytest.raises(ValidationError, match="charges: all descriptions together have 20001 characters, 20000 at"):
        an_order_spec(lines=lines, charges=[a_charge(description="x")])


def test_an_approval_of_another_total_than_that_of_the_order_is_refused() -> None:
    approval = {"decision": "Approved", "by": "bob", "total_minor": 50_000}

    with pytest.raises(ValidationError, match=r"approval\.totalMinor: is 50000 but lines and charges sum to 50500"):
        an_order_spec(charges=[a_charge()], approval=approval)


def test_an_order_without_lines_is_refused() -> None:
    with pytest.raises(ValidationError, match="lines"):
        an_order_spec(lines=[])


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", "\x00"])
def test_a_control_character_in_a_text_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        an_address(name=name)


def test_a_field_of_a_newer_version_is_ignored() -> None:
    newer = an_order_spec().model_dump(mode="json") | {"giftWrap": "gold"}

    assert judge(OrderSpec, newer) == an_order_spec()


def test_the_wire_form_writes_ids_as_kubernetes_does() -> None:
    wire = an_order_spec(order_id="ORDER-1").model_dump(mode="json")

    assert wire["orderID"] == "ORDER-1"
    assert wire["lines"][0]["lineID"] == "1"
    assert wire["lines"][0]["unitPriceMinor"] == 50_000


def test_the_largest_legal_spec_stays_below_128_kib() -> None:
    identifier, text = "X" * 63, WIDEST * 100
    spec = an_order_spec(
        order_id=identifier,
        class_name=identifier,
        customer={"id": identifier, "email": f"{WIDEST * 126}@{WIDEST * 127}"},
        # Quantity and price have the most digits that they can have without the sum going beyond the largest amount.
        lines=[
            a_line(
                line_id=f"{n:032d}", sku=identifier, quantity=1_000_000, unit_price_minor=10_000_000, description=text
            )
            for n in range(MAX_LINES)
        ],
        charges=[a_charge(charge_id=f"{n:032d}", kind="Shipping", amount_minor=10**13) for n in range(MAX_CHARGES)],
        total_minor=(MAX_LINES + MAX_CHARGES) * 10**13,
        shipping_address=an_address(name=text, line1=text, line2=text, city=text, postal_code="9" * 16),
        payment={"method": "t" * 128},
        approval={"decision": "Approved", "by": text, "reason": WIDEST * 256, "total_minor": 25 * 10**14},
        retry=MAX_RETRY,
        cancellation={"by": text, "reason": WIDEST * 256},
    )

    assert len(spec.model_dump_json().encode()) < 128 * 1024


def test_the_digest_does_not_depend_on_the_order_of_the_lines() -> None:
    one, two = a_line(line_id="1"), a_line(line_id="2")

    assert digest([one, two]) == digest([two, one])


def test_the_digest_changes_with_a_line() -> None:
    assert digest([a_line(quantity=1)]) != digest([a_line(quantity=2)])


def test_the_digest_tells_decisions_apart() -> None:
    approved, rejected = (Approval(decision=kind, by="bob") for kind in DecisionKind)

    assert digest(approved) != digest(rejected)


def test_the_digest_of_nothing_is_a_word_of_its_own() -> None:
    assert digest(None) == "none"


ONE, TWO = a_line(line_id="1"), a_line(line_id="2")
CHARGES = [a_charge(), a_charge(charge_id="code", kind="Discount", amount_minor=-100)]


@pytest.mark.parametrize("lines", [[ONE], [ONE, TWO], [a_line(description="red")]], ids=["one", "two", "described"])
def test_without_charges_the_digest_is_that_of_earlier_releases(lines: list[OrderLine]) -> None:
    earlier = "\n".join(line.model_dump_json(exclude_none=True) for line in lines)

    assert lines_digest(lines, []) == digest(lines) == sha256(earlier.encode()).hexdigest()[:16]


def test_the_digest_of_lines_changes_with_a_charge() -> None:
    with_charges = [lines_digest([ONE], charges) for charges in ([], CHARGES[:1], CHARGES)]

    assert len(set(with_charges)) == 3


def test_the_digest_does_not_depend_on_the_order_of_the_charges() -> None:
    assert lines_digest([ONE, TWO], CHARGES) == lines_digest([TWO, ONE], CHARGES[::-1])


def test_a_label_has_what_is_given_and_nothing_else() -> None:
    whole = an_address(
        company="Roe & Sons", line2="3rd floor", state="IL", postal_code="62701", phone="+1 217 555 0100"
    )

    assert whole.label.splitlines() == [
        "Ana Roe",
        "Roe & Sons",
        "12 Main Street",
        "3rd floor",
        "Springfield, IL 62701",
        "US",
        "Phone: +1 217 555 0100",
    ]
    hong_kong = an_address(city="Hong Kong", postal_code=None, country="HK", line2="")
    assert hong_kong.label.splitlines() == ["Ana Roe", "12 Main Street", "Hong Kong", "HK"]


def test_an_address_without_the_newer_fields_has_the_digest_that_earlier_releases_gave_it() -> None:
    text = '{"name":"Ana Roe","line1":"12 Main Street","city":"Springfield","postalCode":"12345","country":"US"}'

    assert digest(an_address()) == sha256(text.encode()).hexdigest()[:16]
    assert len({digest(an_address()), digest(an_address(state="IL")), digest(an_address(phone="555 0100"))}) == 3
