import pytest
from builders import a_line, an_address, an_order_spec
from pydantic import ValidationError

from order_domain.money import MAX_MINOR
from order_domain.order import MAX_LINES, Approval, DecisionKind, OrderSpec, digest

WIDEST = "\N{PACKAGE}"
"""Four bytes in UTF-8, the most that a character can take."""


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
    with pytest.raises(ValidationError, match="totalMinor: is 99999 but the lines sum to 100000"):
        an_order_spec(lines=[a_line(quantity=2)], total_minor=99_999)


def test_a_sum_that_a_double_cannot_hold_is_refused() -> None:
    huge = [a_line(line_id=str(n), quantity=1_000_000, unit_price_minor=1_000_000_000) for n in range(10)]

    with pytest.raises(ValidationError, match=f"beyond the largest amount {MAX_MINOR}"):
        an_order_spec(lines=huge)


def test_a_line_id_used_twice_is_named() -> None:
    with pytest.raises(ValidationError, match="lines: duplicate lineID 'b'"):
        an_order_spec(lines=[a_line(line_id="a"), a_line(line_id="b"), a_line(line_id="b")])


def test_an_order_without_lines_is_refused() -> None:
    with pytest.raises(ValidationError, match="lines"):
        an_order_spec(lines=[])


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", "\x00"])
def test_a_control_character_in_a_text_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        an_address(name=name)


def test_a_field_of_a_newer_version_is_ignored() -> None:
    newer = an_order_spec().model_dump(mode="json") | {"giftWrap": "gold"}

    assert OrderSpec.model_validate(newer) == an_order_spec()


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
        total_minor=MAX_LINES * 10**13,
        shipping_address=an_address(name=text, line1=text, line2=text, city=text, postal_code="9" * 16),
        payment={"method": "t" * 128},
        approval={"decision": "Approved", "by": text, "reason": WIDEST * 256},
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
