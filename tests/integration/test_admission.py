"""What the API server accepts and refuses. A bad spec is refused by the models too, since neither trusts the other."""

import copy
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from access import API, MERGE, ROOT, APIServer, Body, Caller
from pydantic import ValidationError

from order_devstack.conditions import wait_until_nothing_is_missing
from order_devstack.stack import Stack
from order_domain import judgement
from order_domain.order import OrderSpec
from order_domain.pipeline import MAY_REFUSE
from order_domain.policy import OrderClassSpec
from order_domain.stock_item import StockItemSpec
from order_operator.cluster.api_names import API_VERSION, FINALIZER

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"

Spec = dict[str, Any]
Judge = Callable[[str, Spec], None]
"""Raises ValidationError or Refused if the spec of this kind is refused."""

ADDRESS = {"name": "Ana", "line1": "1 Main Street", "city": "Springfield", "postalCode": "62701", "country": "US"}
ORDER: Spec = {
    "orderID": "ORDER-1",
    "className": "threshold",
    "customer": {"id": "CUST-1", "email": "ana@example.com"},
    "currency": "USD",
    "lines": [
        {"lineID": "1", "sku": "PROD-001", "quantity": 2, "unitPriceMinor": 100},
        {"lineID": "2", "sku": "PROD-002", "quantity": 1, "unitPriceMinor": 300},
    ],
    "totalMinor": 500,
    "shippingAddress": ADDRESS,
    "payment": {"method": "tok_visa"},
}
ORDER_CLASS: Spec = {
    "pipeline": ["Receive", "Validate", "Approval", "ReserveStock", "ChargePayment", "Ship"],
    "approval": {"mode": "Threshold", "thresholdMinor": 1, "currency": "USD"},
}
STOCK_ITEM: Spec = {"sku": "PROD-001", "initialOnHand": 1_000, "minimum": 5_000, "target": 10_000}


def lines(count: int, **fields: Any) -> list[Spec]:
    line = {"sku": "PROD-001", "quantity": 1, "unitPriceMinor": 1, **fields}
    return [{"lineID": str(number), **line} for number in range(count)]


def charges(description: str = "", **amounts: int) -> list[Spec]:
    """One of each kind, of these amounts."""
    about = {"description": description} if description else {}
    return [{"chargeID": kind, "kind": kind, "amountMinor": amount, **about} for kind, amount in amounts.items()]


def many_charges(count: int, **fields: Any) -> list[Spec]:
    return [{"chargeID": str(number), "kind": "Fee", **fields} for number in range(count)]


class Refused(Exception):
    """The API server said so."""


@pytest.fixture(scope="module")
def api(servers: Stack) -> Iterator[APIServer]:
    """With both charts installed."""
    servers.install_charts()
    server = APIServer(servers)
    yield server
    server.close()


ORDERS = f"{API}/namespaces/default/orders"
STOCK_ITEMS = f"{API}/namespaces/default/stockitems"
PATHS = {"Order": ORDERS, "OrderClass": f"{API}/orderclasses", "StockItem": STOCK_ITEMS}


def send(api: APIServer, me: Caller, method: str, path: str, body: Body, **options: Any) -> Spec:
    """The object as it is stored. As kubectl asks: a field that the kind does not have is refused."""
    answer = api.send(me, method, f"{path}?fieldValidation=Strict", body, **options)
    if answer.message:
        raise Refused(answer.message)
    return dict(answer.body)


def create(api: APIServer, spec: Spec, kind: str = "Order", **metadata: Any) -> Spec:
    """The object as the API server would store it."""
    body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "tried", **metadata}, "spec": spec}
    return send(api, ROOT, "POST", PATHS[kind], body, dry_run=True)


@pytest.fixture(params=["model", "API server"])
def judge(request: pytest.FixtureRequest) -> Judge:
    if request.param == "model":
        models = {"Order": OrderSpec, "OrderClass": OrderClassSpec, "StockItem": StockItemSpec}

        def by_model(kind: str, spec: Spec) -> None:
            judgement.judge(models[kind], spec)

        return by_model
    api: APIServer = request.getfixturevalue("api")

    def by_server(kind: str, spec: Spec) -> None:
        create(api, spec, kind)

    return by_server


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"lines": lines(1, quantity=0), "totalMinor": 0}, "quantity", id="a quantity of nothing"),
        pytest.param({"lines": lines(1, quantity=1.5), "totalMinor": 1}, "quantity", id="half a piece"),
        pytest.param(
            {"lines": lines(1, unitPriceMinor=-1), "totalMinor": None}, "unitPriceMinor", id="a price below 0"
        ),
        pytest.param({"currency": "XYZ"}, "currency", id="an unknown currency"),
        pytest.param({"totalMinor": 501}, "totalMinor", id="a total that is not the sum"),
        pytest.param({"lines": lines(1) * 2, "totalMinor": 2}, "lines", id="two lines of one id"),
        pytest.param({"lines": lines(300), "totalMinor": 300}, "lines", id="300 lines"),
        pytest.param({"lines": [], "totalMinor": 0}, "lines", id="no line"),
        pytest.param(
            {"lines": lines(10, quantity=10**6, unitPriceMinor=10**9), "totalMinor": None},
            "lines",
            id="a sum that doubles would round",
        ),
        pytest.param(
            {"lines": lines(200, description="x" * 600), "totalMinor": 200}, "description", id="more than 128 KiB"
        ),
        pytest.param({"shippingAddress": None}, "shippingAddress", id="no address"),
        pytest.param({"shippingAddress": {**ADDRESS, "country": "usa"}}, "country", id="no country code"),
        pytest.param({"shippingAddress": {**ADDRESS, "country": "XX"}}, "country", id="no country"),
        pytest.param({"shippingAddress": {**ADDRESS, "name": "  "}}, "name", id="a blank name"),
        pytest.param({"shippingAddress": {**ADDRESS, "line1": "\u200b"}}, "line1", id="a line of no width"),
        pytest.param({"shippingAddress": {**ADDRESS, "line2": "3\u2066"}}, "line2", id="a direction in a line"),
        pytest.param({"shippingAddress": {**ADDRESS, "city": "Bo\u00adston"}}, "city", id="a hidden hyphen in a city"),
        pytest.param({"shippingAddress": {**ADDRESS, "company": ""}}, "company", id="an empty company"),
        pytest.param({"shippingAddress": {**ADDRESS, "state": "I\u200dL"}}, "state", id="a joiner between letters"),
        pytest.param({"shippingAddress": {**ADDRESS, "postalCode": " "}}, "postalCode", id="a blank postal code"),
        pytest.param({"shippingAddress": {**ADDRESS, "phone": "by day"}}, "phone", id="no telephone number"),
        pytest.param({"approval": {"decision": "Rejected", "by": "\u3000"}}, "by", id="a decider nobody sees"),
        pytest.param({"cancellation": {"by": "\u202ebob"}}, "by", id="a name turned round"),
        pytest.param({"shippingAddress": {**ADDRESS, "name": "Ana\n"}}, "name", id="a line break in a name"),
        pytest.param({"customer": {"id": ""}}, "id", id="an empty customer id"),
        pytest.param({"customer": {"id": "C", "email": "nobody"}}, "email", id="no mail address"),
        pytest.param({"payment": {"method": "4242 4242 4242 4242"}}, "method", id="card data for a token"),
        pytest.param({"deletionPolicy": "Keep"}, "deletionPolicy", id="an unknown deletion policy"),
        pytest.param(
            {"customer": {"id": "C", "email": "ana@exa\u3000mple.com"}}, "email", id="a blank in a mail address"
        ),
        pytest.param({"customer": {"id": "C", "email": "ana@example.com\0"}}, "email", id="a NUL in a mail address"),
        pytest.param({"approval": {"decision": "Maybe", "by": "bob"}}, "decision", id="an unknown decision"),
        pytest.param({"requestedBy": "a" * 257}, "requestedBy", id="a requester with a name too long"),
        pytest.param({"editedBy": "\u200b"}, "editedBy", id="an editor nobody sees"),
        pytest.param({"requestedBy": "a" * 256, "editedBy": "b" * 145}, "editedBy", id="names too long together"),
        pytest.param(
            {"approval": {"decision": "Approved", "by": "bob", "totalMinor": 501}},
            "approval.totalMinor",
            id="a decision about another total",
        ),
        pytest.param({"charges": charges(Shipping=1)}, "totalMinor", id="a total without the charges"),
        pytest.param({"charges": charges(Shipping=-1), "totalMinor": 499}, "amountMinor", id="a fee below 0"),
        pytest.param({"charges": charges(Discount=1), "totalMinor": 501}, "amountMinor", id="a discount above 0"),
        pytest.param({"charges": charges(Discount=0)}, "amountMinor", id="a discount of nothing"),
        pytest.param({"charges": charges(Discount=-501), "totalMinor": None}, "charges", id="more discount than lines"),
        pytest.param({"charges": charges(Tip=1), "totalMinor": 501}, "kind", id="a charge of an unknown kind"),
        pytest.param({"charges": charges(Tax=1) * 2, "totalMinor": 502}, "charges", id="two charges of one id"),
        pytest.param({"charges": many_charges(51, amountMinor=0)}, "charges", id="51 charges"),
        pytest.param(
            {"charges": many_charges(50, amountMinor=10**15), "totalMinor": None},
            "charges",
            id="charges that doubles would round",
        ),
        pytest.param(
            {"lines": lines(200, description="x" * 100), "charges": charges(Tax=1, description="x"), "totalMinor": 201},
            "charges",
            id="descriptions of more than 20,000 characters",
        ),
        pytest.param({"retry": -1}, "retry", id="fewer retries than none"),
    ],
)
def test_a_bad_order_is_refused_by_the_name_of_the_field(judge: Judge, change: Spec, field: str) -> None:
    spec = {key: value for key, value in {**ORDER, **change}.items() if value is not None}

    with pytest.raises((ValidationError, Refused), match=rf"\b{field}\b"):
        judge("Order", spec)


def test_the_order_of_more_than_128_kib_is_that_large() -> None:
    assert len(json.dumps({**ORDER, "lines": lines(200, description="x" * 600)})) > 128 * 1024


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pipeline": ["Receive", "Validate", "Approval", "Validate"]}, "pipeline"),
        ({"pipeline": []}, "pipeline"),
        ({"pipeline": ["Approval"]}, "pipeline"),
        ({"pipeline": ["Receive", "Teleport"]}, "pipeline"),
        ({"pipeline": ["Receive", "Approval", "Ship"]}, "pipeline"),
        ({"pipeline": ["Receive", "Approval", "ChargePayment", "AddressWindow"]}, "pipeline"),
        ({"pipeline": ["Receive", "Approval", "ChargePayment", "Ship", "AddressWindow"]}, "pipeline"),
        ({"pipeline": ["Receive", "Approval", "PrepareShipment", "ChargePayment"]}, "pipeline"),
        ({"pipeline": ["Receive", "Approval", "ChargePayment", "ReserveStock"]}, "pipeline"),
        ({"pipeline": ["Receive", "ReserveStock", "ChargePayment", "Approval"]}, "pipeline"),
        ({"pipeline": ["Receive"], "approval": {"mode": "Always"}}, "pipeline"),
        ({"approval": {"mode": "Threshold", "currency": "USD"}}, "thresholdMinor"),
        ({"approval": {"mode": "Threshold", "thresholdMinor": 1}}, "currency"),
        ({"approval": {"mode": "Always", "windowSeconds": 0}}, "windowSeconds"),
        (
            {"approval": {"mode": "Always", "windowSeconds": 9, "autoApproveAfterSeconds": 9}},
            "autoApproveAfterSeconds",
        ),
        ({"approval": {"mode": "Always", "autoApproveAfterSeconds": 300}}, "autoApproveAfterSeconds"),
        ({"approval": {"mode": "Always", "highThresholdMinor": 1}}, "currency"),
        (
            {"approval": {"mode": "Threshold", "thresholdMinor": 2, "highThresholdMinor": 1, "currency": "USD"}},
            "highThresholdMinor",
        ),
        ({"approval": {"mode": "Always", "fourEyes": True, "autoApproveAfterSeconds": 9}}, "fourEyes"),
        ({"approval": {"mode": "Always", "fourEyes": True, "onExpiry": "Approve"}}, "fourEyes"),
        ({"approval": {"mode": "Always", "temporalClients": "Some"}}, "temporalClients"),
        ({"compensation": {"pivot": "Validate"}}, "pivot"),
        ({"compensation": {"pivot": "UpdateOrderStatus"}}, "pivot"),
        *(
            (
                {
                    "pipeline": ["Receive", "UpdateOrderStatus", step],
                    "approval": {"mode": "Never"},
                    "compensation": {"pivot": "UpdateOrderStatus"},
                },
                "pivot",
            )
            for step in MAY_REFUSE
        ),
        (
            {
                "pipeline": ["Receive", "Approval", "ChargePayment", "AddressWindow", "Ship"],
                "addressWindow": {"onExpiry": "Fail"},
                "compensation": {"pivot": "ChargePayment"},
            },
            "pivot",
        ),
        ({"retry": {"default": {"totalSeconds": 9}}}, "totalSeconds"),
        ({"retry": {"steps": {"Ship": {"startToCloseSeconds": 60, "totalSeconds": 59}}}}, "totalSeconds"),
        ({"retry": {"steps": {"Teleport": {}}}}, "steps"),
        ({"simulation": {"default": {"declineCode": "lost_card"}}}, "declineCode"),
        ({"simulation": {"steps": {"Ship": {"declineCode": "lost_card"}}}}, "declineCode"),
        ({"simulation": {"steps": {"Ship": {"errorPercent": 101}}}}, "errorPercent"),
        ({"simulation": {"steps": {"Ship": {"errorPercent": 0.5}}}}, "errorPercent"),
        ({"simulation": {"steps": {"Ship": {"errorType": "Bored"}}}}, "errorType"),
    ],
    ids=str,
)
def test_a_bad_class_is_refused_by_the_name_of_the_field(judge: Judge, change: Spec, field: str) -> None:
    with pytest.raises((ValidationError, Refused), match=rf"\b{field}\b"):
        judge("OrderClass", {**ORDER_CLASS, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"pipeline": ["Receive"], "approval": {"mode": "Never"}},
        {"approval": {"mode": "Always", "windowSeconds": 9, "autoApproveAfterSeconds": 8}},
        {"approval": {"mode": "Threshold", "thresholdMinor": 2, "highThresholdMinor": 2, "currency": "USD"}},
        {"approval": {"mode": "Always", "fourEyes": True, "temporalClients": "Refused"}},
        {"compensation": {"pivot": "ChargePayment", "parallel": True}},
        {
            "pipeline": ["Receive", "Approval", "ChargePayment", "AddressWindow", "Ship"],
            "addressWindow": {"onExpiry": "Fail"},
            "compensation": {"pivot": "Ship"},
        },
        {"retry": {"default": {"totalSeconds": 10}, "steps": {"Ship": {"totalSeconds": 31_536_000}}}},
        {"simulation": {"default": {"errorPercent": 100}, "steps": {"ChargePayment": {"declineCode": "lost_card"}}}},
    ],
    ids=str,
)
def test_a_class_at_the_edge_of_a_rule_is_accepted(judge: Judge, change: Spec) -> None:
    judge("OrderClass", {**ORDER_CLASS, **change})


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("classes/*.yaml")), ids=lambda path: path.stem)
def test_a_class_that_ships_is_accepted(judge: Judge, path: Path) -> None:
    judge("OrderClass", yaml.safe_load(path.read_text())["spec"])


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("samples/*.yaml")), ids=lambda path: path.stem)
def test_a_sample_is_accepted(api: APIServer, path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    create(api, document["spec"], document["kind"])


@pytest.mark.parametrize(
    "change",
    [
        {"charges": charges(Shipping=500, Tax=95, Fee=1, Discount=-100), "totalMinor": 996},
        {"charges": charges(Discount=-500), "totalMinor": 0},
        {"charges": [], "totalMinor": 500},
        {
            "charges": charges(Shipping=500),
            "totalMinor": None,
            "approval": {"decision": "Approved", "by": "bob", "totalMinor": 1_000},
        },
        {"retry": 7},
    ],
    ids=str,
)
def test_an_order_with_charges_is_accepted(judge: Judge, change: Spec) -> None:
    judge("Order", {key: value for key, value in {**ORDER, **change}.items() if value is not None})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "𠮷野\u3000太郎 😀"}, id="of more than the basic plane"),
        pytest.param(
            {"name": "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "line1": "👩\u200d👩\u200d👧"},
            id="with joiners that are seen",
        ),
        pytest.param({"name": "葛\U000e0100城", "line2": ""}, id="with a variant of a letter"),
        pytest.param({"postalCode": None, "city": "Hong Kong", "country": "HK"}, id="without a postal code"),
        pytest.param(
            {"company": "Roe & Sons", "state": "IL", "phone": "+1 (217) 555-0100 x12"}, id="with all there is"
        ),
    ],
)
def test_an_address_as_people_have_it_is_accepted(judge: Judge, changes: Spec) -> None:
    address = {key: value for key, value in {**ADDRESS, **changes}.items() if value is not None}

    judge("Order", {**ORDER, "shippingAddress": address})


def test_the_country_that_is_meant_is_named(judge: Judge) -> None:
    with pytest.raises((ValidationError, Refused), match=r"(?s)country\b.*UK is no ISO 3166-1 code: GB is meant"):
        judge("Order", {**ORDER, "shippingAddress": {**ADDRESS, "country": "UK"}})


CARDS = ("4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "4242_4242_4242_4242", "6304000000000000000")


@pytest.mark.parametrize("number", CARDS)
def test_a_card_number_is_refused_and_not_repeated(api: APIServer, number: str) -> None:
    spec = {**ORDER, "payment": {"method": number}}

    with pytest.raises(Refused, match=r"spec\.payment\.method.*looks like a card number") as refused:
        create(api, spec)
    assert number not in str(refused.value)

    with pytest.raises(ValidationError) as invalid:
        judgement.judge(OrderSpec, spec)
    (said,) = judgement.field_errors(invalid.value, under="spec")
    assert said.startswith("spec.payment.method: looks like a card number")
    assert number not in said


def test_digits_that_are_no_card_number_are_a_token(judge: Judge) -> None:
    judge("Order", {**ORDER, "payment": {"method": "4242424242424241"}})


LARGEST: Spec = {
    "lines": lines(200, sku="S" * 63, quantity=10**6, unitPriceMinor=10**7, description="\N{GRINNING FACE}" * 100),
    "charges": many_charges(50, amountMinor=10**13),
    "totalMinor": 250 * 10**13,
}


def test_the_largest_legal_order_is_within_the_cost_that_rules_may_have(judge: Judge) -> None:
    decision = {"decision": "Approved", "by": "bob", "totalMinor": LARGEST["totalMinor"]}

    judge("Order", {**ORDER, **LARGEST, "approval": decision})


def test_a_name_too_long_for_an_order_number_needs_one_beside_it(api: APIServer) -> None:
    spec = {key: value for key, value in ORDER.items() if key != "orderID"}

    with pytest.raises(Refused, match=r"spec\.orderID"):
        create(api, spec, name="n" * 64)


@pytest.fixture
def stored(api: APIServer) -> Iterator[str]:
    """Name of an order that exists until the end of the test."""
    name = f"order-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": API_VERSION, "kind": "Order", "metadata": {"name": name}, "spec": ORDER}
    send(api, ROOT, "POST", ORDERS, body)
    yield name
    # No operator runs that would take a finalizer off.
    patch(api, name, {"metadata": {"finalizers": None}})
    api.must(ROOT, "DELETE", f"{ORDERS}/{name}")


STATUS = "/status"
"""The subresource."""


def patch(api: APIServer, name: str, change: Mapping[str, Any], under: str = "", me: Caller = ROOT) -> None:
    send(api, me, "PATCH", f"{ORDERS}/{name}{under}", change, content=MERGE)


def read(api: APIServer, name: str) -> Spec:
    return dict(api.must(ROOT, "GET", f"{ORDERS}/{name}"))


def set_condition(api: APIServer, name: str, condition: str, status: str = "True", reason: str = "Tested") -> None:
    """What the operator writes."""
    item = {
        "type": condition,
        "status": status,
        "reason": reason,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch(api, name, {"status": {"conditions": [item]}}, STATUS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"orderID": "ORDER-2"}, "orderID"),
        ({"orderID": None}, "orderID"),
        ({"className": "standard"}, "className"),
        ({"className": None}, "className"),
        ({"customer": {"id": "CUST-2"}}, "customer"),
        ({"customer": {"email": None}}, "customer"),
        ({"currency": "EUR"}, "currency"),
        ({"payment": {"method": "tok_other"}}, "payment"),
    ],
    ids=str,
)
def test_what_identifies_an_order_cannot_change(api: APIServer, stored: str, change: Spec, field: str) -> None:
    with pytest.raises(Refused, match=rf"spec\.{field}: Forbidden: {field} is fixed"):
        patch(api, stored, {"spec": change})


OTHER_LINES = {"lines": lines(1), "totalMinor": 1}
OTHER_CHARGES = {"charges": charges(Shipping=1), "totalMinor": 501}
OTHER_ADDRESS = {"shippingAddress": {"line2": "3rd floor"}}


def test_the_address_of_an_open_order_can_be_changed(api: APIServer, stored: str) -> None:
    set_condition(api, stored, "Shipped", "False")

    patch(api, stored, {"spec": OTHER_ADDRESS})


@pytest.mark.parametrize(("condition", "status"), [("Approved", "Unknown"), ("Reserved", "True"), ("Shipped", "False")])
def test_the_lines_of_an_order_that_nobody_has_decided_about_can_be_changed(
    api: APIServer, stored: str, condition: str, status: str
) -> None:
    set_condition(api, stored, condition, status)

    patch(api, stored, {"spec": OTHER_LINES})


def test_the_charges_of_an_open_order_can_be_changed(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": OTHER_CHARGES})
    patch(api, stored, {"spec": {"charges": None, "totalMinor": 500}})


def test_charges_cannot_be_taken_away_once_charging_has_begun(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": OTHER_CHARGES})
    set_condition(api, stored, "Charged", "False")

    with pytest.raises(Refused, match=r"spec\.charges: Forbidden: charges are fixed"):
        patch(api, stored, {"spec": {"charges": None, "totalMinor": 500}})


def test_retry_may_be_raised_and_never_falls(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": {"retry": 2}})

    for fewer in (1, None):
        with pytest.raises(Refused, match=r"spec\.retry: Forbidden: retry never falls"):
            patch(api, stored, {"spec": {"retry": fewer}})


@pytest.mark.parametrize("status", ["True", "False"])
def test_the_lines_cannot_be_changed_once_charging_has_begun(api: APIServer, stored: str, status: str) -> None:
    set_condition(api, stored, "Charged", status)

    with pytest.raises(Refused, match=r"spec\.lines: Forbidden: lines are fixed"):
        patch(api, stored, {"spec": OTHER_LINES})


def test_comparing_the_lines_of_the_largest_legal_order_is_within_the_cost_that_rules_may_have(
    api: APIServer, stored: str
) -> None:
    patch(api, stored, {"spec": LARGEST})
    set_condition(api, stored, "Charged")

    patch(api, stored, {"spec": {name: LARGEST[name][::-1] for name in ("lines", "charges")}})


@pytest.mark.parametrize(
    ("condition", "change", "field"),
    [
        ("Shipped", OTHER_ADDRESS, "shippingAddress"),
        ("Finished", OTHER_ADDRESS, "shippingAddress"),
        ("Approved", OTHER_LINES, "lines"),
        ("Finished", OTHER_LINES, "lines"),
        ("Approved", OTHER_CHARGES, "charges"),
        ("Finished", OTHER_CHARGES, "charges"),
    ],
)
def test_what_the_order_has_gone_past_cannot_change(
    api: APIServer, stored: str, condition: str, change: Spec, field: str
) -> None:
    set_condition(api, stored, condition)

    with pytest.raises(Refused, match=rf"spec\.{field}: Forbidden: {field} (is|are) fixed"):
        patch(api, stored, {"spec": change})


def test_lines_may_be_sorted_anew(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": {"lines": ORDER["lines"][::-1]}})


def test_the_address_may_still_change_between_charge_and_shipment(api: APIServer, stored: str) -> None:
    set_condition(api, stored, "Charged")

    patch(api, stored, {"spec": OTHER_ADDRESS})


@pytest.mark.parametrize(
    "second",
    [{"decision": "Rejected"}, {"by": "carol"}, None],
    ids=["another decision", "another decider", "none"],
)
def test_the_first_decision_is_final(api: APIServer, stored: str, second: Spec | None) -> None:
    patch(api, stored, {"spec": {"approval": {"decision": "Approved", "by": "bob"}}})

    with pytest.raises(Refused, match=r"spec\.approval: Forbidden: the first decision is final"):
        patch(api, stored, {"spec": {"approval": second}})


APPROVAL = {"approval": {"decision": "Approved", "by": "bob"}}


def test_who_ordered_is_told_once(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": {"requestedBy": "ana", "editedBy": "ana"}})
    patch(api, stored, {"spec": {"editedBy": "bob"}})

    for other in ("bob", None):
        with pytest.raises(Refused, match=r"spec\.requestedBy: Forbidden: requestedBy is fixed once set"):
            patch(api, stored, {"spec": {"requestedBy": other}})


def test_lines_and_a_decision_about_them_may_come_together(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": {**OTHER_LINES, **APPROVAL}})


def test_lines_cannot_change_behind_the_back_of_somebody_who_decided_about_others(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": APPROVAL})

    with pytest.raises(Refused, match=r"spec\.lines: Forbidden: lines cannot change after"):
        patch(api, stored, {"spec": OTHER_LINES})


def test_charges_cannot_change_behind_the_back_of_somebody_who_decided_about_others(
    api: APIServer, stored: str
) -> None:
    patch(api, stored, {"spec": {**APPROVAL, **OTHER_CHARGES}})

    with pytest.raises(Refused, match=r"spec\.charges: Forbidden: charges cannot change after"):
        patch(api, stored, {"spec": {"charges": charges(Shipping=2), "totalMinor": 502}})


def test_a_decision_that_lacks_the_amount_can_be_completed_by_it_and_by_nothing_else(
    api: APIServer, stored: str
) -> None:
    patch(api, stored, {"spec": APPROVAL})
    set_condition(api, stored, "SpecApplied", "False", "AmountNotStated")

    for other in ({"by": "carol"}, {"decision": "Rejected"}):
        with pytest.raises(Refused, match=r"spec\.approval: Forbidden: the first decision is final"):
            patch(api, stored, {"spec": {"approval": other}})
    patch(api, stored, {"spec": {"approval": {"totalMinor": 500}}})


@pytest.mark.parametrize(
    "reason",
    ["AmountNotStated", "StaleDecision", "ProofRequired", "OwnOrder", "OwnEdit", "RequesterUnknown", "EditorUnknown"],
)
def test_a_decision_that_the_workflow_did_not_accept_can_be_taken_back(
    api: APIServer, stored: str, reason: str
) -> None:
    patch(api, stored, {"spec": APPROVAL})
    set_condition(api, stored, "SpecApplied", "False", reason)

    patch(api, stored, {"spec": {"approval": None, **OTHER_LINES}})


def test_a_decision_about_lines_that_were_refused_can_be_taken_back_with_them(api: APIServer, stored: str) -> None:
    patch(api, stored, {"spec": APPROVAL})
    set_condition(api, stored, "SpecApplied", "False", "LinesNotApplied")

    with pytest.raises(Refused, match=r"spec\.approval: Forbidden: the first decision is final"):
        patch(api, stored, {"spec": {"approval": {"by": "carol"}}})
    patch(api, stored, {"spec": {"approval": None, **OTHER_LINES}})


OPERATOR = Caller("system:serviceaccount:order-platform:order-platform-operator")


def test_the_operator_may_put_its_finalizer_beside_others_and_take_it_off_again(api: APIServer, stored: str) -> None:
    patch(api, stored, {"metadata": {"finalizers": ["example.org/other", FINALIZER]}}, me=OPERATOR)
    held = read(api, stored)["metadata"]["finalizers"]
    patch(api, stored, {"metadata": {"finalizers": ["example.org/other"]}}, me=OPERATOR)

    assert held == ["example.org/other", FINALIZER]
    assert read(api, stored)["metadata"]["finalizers"] == ["example.org/other"]


RBAC = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.fixture(scope="module")
def editor(api: APIServer) -> Iterator[Caller]:
    """Somebody who has the editor's role and no other."""
    yield from caller(api, "editor", "orders")


@pytest.fixture(scope="module")
def platform_admin(api: APIServer) -> Iterator[Caller]:
    """The same of the platform administrator's role."""
    yield from caller(api, "platform-admin", "stockitems")


def caller(api: APIServer, role: str, patches: str) -> Iterator[Caller]:
    """Has the role, by which those resources may be patched."""
    user = f"{role}-{uuid.uuid4().hex[:8]}"
    group = "rbac.authorization.k8s.io"
    granted = {"apiGroup": group, "kind": "ClusterRole", "name": f"order-platform-{role}"}
    subject = {"apiGroup": group, "kind": "User", "name": user}
    api.must(ROOT, "POST", RBAC, {"metadata": {"name": user}, "roleRef": granted, "subjects": [subject]})
    wait_until_nothing_is_missing(partial(denied, api, user, patches), within_seconds=30, say=print)
    yield Caller(user)
    api.must(ROOT, "DELETE", f"{RBAC}/{user}")


def denied(api: APIServer, user: str, resource: str) -> str:
    """What the API server still denies: it hears of a binding a moment later."""
    asked = {"group": API_VERSION.partition("/")[0], "resource": resource, "verb": "patch", "namespace": "default"}
    review = api.must(ROOT, "POST", REVIEWS, {"spec": {"user": user, "resourceAttributes": asked}})
    return "" if review["status"]["allowed"] else f"{user} may not patch {resource}"


STATUS_CHANGE = {"status": {"phase": "Running"}}


def test_the_operator_may_replace_a_status_and_what_others_wrote_into_it_is_gone(api: APIServer, stored: str) -> None:
    """B12: a forged payment and forged conditions stayed for ever, since applying takes away only what it once set."""
    set_condition(api, stored, "Charged", "True", "Done")
    patch(api, stored, {"status": {"payment": {"capturedMinor": 7}}}, STATUS)
    version = {"name": stored, "resourceVersion": read(api, stored)["metadata"]["resourceVersion"]}
    body = {"apiVersion": API_VERSION, "kind": "Order", "metadata": version, **STATUS_CHANGE}

    send(api, OPERATOR, "PUT", f"{ORDERS}/{stored}/status", body)

    assert read(api, stored)["status"] == STATUS_CHANGE["status"]


def test_the_operator_may_not_patch_a_status(api: APIServer, stored: str) -> None:
    with pytest.raises(Refused, match="orders/status"):
        patch(api, stored, STATUS_CHANGE, STATUS, OPERATOR)


def test_an_editor_may_not_write_a_status(api: APIServer, stored: str, editor: Caller) -> None:
    patch(api, stored, {"spec": {"suspend": True}}, me=editor)

    with pytest.raises(Refused, match="orders/status"):
        patch(api, stored, STATUS_CHANGE, STATUS, editor)


def test_a_status_is_stored_as_it_was_written(api: APIServer, stored: str) -> None:
    status = {
        "observedGeneration": 1,
        "phase": "Running",
        "orderStatus": "Ship Order",
        "progress": 66,
        "steps": [{"name": "Receive", "state": "Succeeded"}],
        "approval": {"deadline": "2026-01-01T00:00:00.123456Z"},
        "shipments": [{"lineID": "1", "state": "Dispatched"}],
        "workflow": {"id": "order/default/x/y", "namespace": "default", "taskQueue": "orders"},
    }

    patch(api, stored, {"status": copy.deepcopy(status)}, STATUS)

    assert read(api, stored)["status"] == status


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sku": None}, "sku"),
        ({"sku": "a/b"}, "sku"),
        ({"minimum": None}, "minimum"),
        ({"minimum": -1}, "minimum"),
        ({"target": 4_999}, "target"),
        ({"target": 1_000_000_001}, "target"),
        ({"initialOnHand": -1}, "initialOnHand"),
    ],
    ids=str,
)
def test_a_bad_stock_item_is_refused_by_the_name_of_the_field(judge: Judge, change: Spec, field: str) -> None:
    spec = {key: value for key, value in {**STOCK_ITEM, **change}.items() if value is not None}

    with pytest.raises((ValidationError, Refused), match=rf"\b{field}\b"):
        judge("StockItem", spec)


def test_a_stock_item_whose_target_is_its_minimum_is_accepted(judge: Judge) -> None:
    judge("StockItem", {**STOCK_ITEM, "target": 5_000})


@pytest.fixture
def kept(api: APIServer) -> Iterator[Callable[..., None]]:
    """Changes the spec of a stock item that exists until the end of the test."""
    name = f"item-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": API_VERSION, "kind": "StockItem", "metadata": {"name": name}, "spec": STOCK_ITEM}
    send(api, ROOT, "POST", STOCK_ITEMS, body)

    def change(me: Caller = ROOT, under: str = "", **spec: Any) -> None:
        send(api, me, "PATCH", f"{STOCK_ITEMS}/{name}{under}", {"spec": spec}, content=MERGE)

    yield change
    api.must(ROOT, "DELETE", f"{STOCK_ITEMS}/{name}")


@pytest.mark.parametrize("change", [{"sku": "PROD-002"}, {"initialOnHand": 1_001}, {"initialOnHand": None}], ids=str)
def test_the_article_of_a_stock_item_and_its_beginning_are_fixed(kept: Callable[..., None], change: Spec) -> None:
    with pytest.raises(Refused, match=rf"spec\.{next(iter(change))}: .*create another StockItem"):
        kept(**change)


def test_an_edit_that_leaves_the_target_below_the_minimum_names_the_target(kept: Callable[..., None]) -> None:
    with pytest.raises(Refused, match=r"spec\.target: .*raise target or lower minimum"):
        kept(minimum=10_001)


def test_a_platform_admin_may_change_the_minimum_and_target_of_a_stock_item(
    kept: Callable[..., None], platform_admin: Caller
) -> None:
    kept(platform_admin, minimum=1, target=2)


def test_an_editor_may_not_write_a_stock_item_which_buys(kept: Callable[..., None], editor: Caller) -> None:
    with pytest.raises(Refused, match="stockitems"):
        kept(editor, minimum=1, target=2)


def test_a_platform_admin_may_not_write_the_status_of_a_stock_item(
    kept: Callable[..., None], platform_admin: Caller
) -> None:
    with pytest.raises(Refused, match="stockitems/status"):
        kept(platform_admin, STATUS, minimum=1)


def test_the_operator_may_not_change_the_spec_of_a_stock_item(kept: Callable[..., None]) -> None:
    with pytest.raises(Refused, match="stockitems"):
        kept(OPERATOR, minimum=1)
