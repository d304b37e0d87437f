"""What decodes is wider than what judges."""

import json
from typing import Any

import pytest
from builders import a_policy, an_order_input, an_order_spec
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter

from order_domain.judgement import flaws, judge
from order_domain.order import OrderSpec
from order_domain.policy import ApprovalMode, OrderClassSpec
from order_workflows.contract import OrderInput

LINE = {"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 50_000}

REFUSED: dict[str, dict[str, Any]] = {
    "a total that is not the sum": {"totalMinor": 1},
    "a currency that nobody knows": {"currency": "XYZ"},
    "no line": {"lines": []},
    "more lines than there may be": {"lines": [LINE | {"lineID": str(number)} for number in range(201)]},
    "a quantity below zero": {"lines": [LINE | {"quantity": -1}]},
    "two lines of one id": {"lines": [LINE, LINE]},
    "an address with a line break": {
        "shippingAddress": {"name": "Ana\n", "line1": "", "city": "x", "postalCode": "!", "country": "usa"}
    },
    "a mail address with a blank": {"customer": {"id": "C", "email": "ana@exa\u3000mple.com"}},
    "a mail address with a NUL": {"customer": {"id": "C", "email": "ana@example.com\0"}},
    "a decider without a name": {"approval": {"decision": "Approved", "by": ""}},
    "a discount that adds": {"charges": [{"chargeID": "code", "kind": "Discount", "amountMinor": 5}]},
    "a token that is none": {"payment": {"method": "4242 4242"}},
}


def with_spec(changes: dict[str, Any]) -> dict[str, Any]:
    document = an_order_input().model_dump(mode="json", exclude_none=True)
    return document | {"spec": document["spec"] | changes}


async def decoded(document: dict[str, Any]) -> OrderInput:
    """As a worker reads what a workflow was started with."""
    payload = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(document).encode())
    (value,) = await pydantic_data_converter.decode([payload], [OrderInput])
    return value


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED.keys())
async def test_an_order_that_breaks_a_rule_is_decoded_in_a_workflow_and_refused_where_it_is_judged(
    changes: dict[str, Any],
) -> None:
    order = await decoded(with_spec(changes))

    (field,) = changes
    assert flaws(order.spec)
    with pytest.raises(ValidationError, match=field):
        judge(OrderSpec, with_spec(changes)["spec"])


async def test_an_order_that_keeps_the_rules_has_no_flaw() -> None:
    assert flaws((await decoded(with_spec({}))).spec) == []


def test_a_flaw_names_its_field() -> None:
    spec = OrderSpec.model_validate(with_spec({"lines": [LINE | {"quantity": 0}]})["spec"])

    assert flaws(spec) == ["spec.lines.0.quantity: Input should be greater than or equal to 1"]


def test_of_many_flaws_the_first_are_named() -> None:
    lines = [LINE | {"lineID": str(number), "quantity": 0} for number in range(50)]

    assert len(flaws(OrderSpec.model_validate(with_spec({"lines": lines})["spec"]))) == 5


@pytest.mark.parametrize(
    "email",
    [
        f"ana@exa{blank}mple.com"
        for blank in ["\u3000", "\u00a0", "\u0085", "\u2028", "\u200b", "\ufeff", "\0", "\x7f", " ", "\t"]
    ],
    ids=ascii,
)
def test_a_character_that_cannot_be_seen_is_refused_in_a_mail_address(email: str) -> None:
    with pytest.raises(ValidationError, match=r"customer\.email"):
        an_order_spec(customer={"id": "CUST-1", "email": email})


@pytest.mark.parametrize("email", ["ana@example.com", "ana+tag@müller.example", "用户@例子.广告", "a@b"])
def test_a_mail_address_may_have_letters_of_every_script(email: str) -> None:
    assert an_order_spec(customer={"id": "CUST-1", "email": email}).customer.email == email


@pytest.mark.parametrize(
    "flawed",
    [
        {"pipeline": ["Receive", "ChargePayment", "ReserveStock"]},
        {"retry": {"default": {"totalSeconds": 9}}},
        {"compensation": {"pivot": "UpdateOrderStatus"}},
        {"simulation": {"default": {"declineCode": "lost_card"}}},
    ],
    ids=str,
)
async def test_the_class_of_a_running_order_is_decoded_whatever_rules_came_since(flawed: dict[str, Any]) -> None:
    document = an_order_input().model_dump(mode="json", exclude_none=True)

    order = await decoded(document | {"policy": document["policy"] | flawed})

    assert flaws(order.policy)


def test_a_threshold_without_an_amount_asks_for_approval() -> None:
    incomplete = OrderClassSpec.model_validate(a_policy().model_dump() | {"approval": {"mode": "Threshold"}})

    assert incomplete.approval.mode is ApprovalMode.THRESHOLD
    assert incomplete.approval.required(1, "USD")


def test_a_card_number_is_refused_by_the_name_of_the_field_and_not_repeated() -> None:
    order = OrderInput.model_validate(with_spec({"payment": {"method": "4242_4242_4242_4242"}}))

    (flaw,) = flaws(order.spec)

    assert flaw.startswith("spec.payment.method: looks like a card number")
    assert "4242" not in flaw
