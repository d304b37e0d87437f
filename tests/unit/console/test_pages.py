"""What the pages show, to whom, and what their forms do."""

import re

import pytest
from console_pieces import Browser, an_order, proof
from fake_cluster import FakeCluster

from order_console import demonstrations
from order_console.api_server import ApiError

HOSTILE = '"><script>alert(1)</script>'


def test_the_list_shows_what_an_order_says(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    shown = browser("maria").get("/orders/shop/order-1500").text

    assert "waits for approval of 1500.00 USD" in shown
    assert 'aria-current="step"' in shown


def test_an_order_full_of_html_stays_text_on_every_page(cluster: FakeCluster, browser: Browser) -> None:
    step = {"name": "Receive", "state": "Running", "attempts": 2, "lastError": HOSTILE}
    cluster.put(
        an_order(
            spec={
                "customer": {"id": HOSTILE},
                "requestedBy": HOSTILE,
                "lines": [{"lineID": HOSTILE, "sku": HOSTILE, "quantity": 1, "unitPriceMinor": 1}],
                "shippingAddress": {"name": HOSTILE, "line1": HOSTILE, "city": HOSTILE, "country": "US"},
            },
            status={
                "message": HOSTILE,
                "orderStatus": HOSTILE,
                "steps": [step],
                "workflow": {"id": HOSTILE, "url": "javascript:alert(1)"},
                "shipments": [{"lineID": HOSTILE, "state": HOSTILE, "carrier": HOSTILE}],
            },
        )
    )
    maria = browser("maria")

    for path in ("/", f"/?text={HOSTILE}", "/inbox", "/orders/shop/order-1500", f"/new?namespace={HOSTILE}"):
        shown = maria.get(path).text
        assert "<script>alert" not in shown, path
        assert 'href="javascript:' not in shown, path


def test_every_answer_carries_the_headers_that_keep_other_scripts_and_frames_out(browser: Browser) -> None:
    for path in ("/", "/static/style.css", "/nowhere"):
        headers = browser("maria").get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_request_by_another_host_name_is_refused(browser: Browser) -> None:
    answer = browser("maria").get("/", headers={"host": "evil.example"})

    assert answer.status_code == 421


def test_who_is_not_known_sees_the_login_and_no_order(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    answer = browser("").get("/orders/shop/order-1500")

    assert answer.status_code == 401
    assert "say who you are" in answer.text
    assert "1500.00" not in answer.text


def test_the_list_has_only_orders_of_namespaces_that_the_caller_may_list(
    cluster: FakeCluster, browser: Browser
) -> None:
    cluster.put(an_order("seen", namespace="shop"))
    cluster.put(an_order("concealed", namespace="outlet"))
    cluster.allow("clerk", "list", namespace="shop")
    _known(browser, "concealed")

    shown = browser("clerk").get("/").text

    assert "seen" in shown
    assert "concealed" not in shown


def _known(browser: Browser, name: str) -> None:
    """Wait until the watch has brought the order of this name."""
    for _ in range(500):
        if name in browser("maria").get("/").text:
            return
    pytest.fail(f"{name} is not shown")


@pytest.mark.parametrize(
    ("group", "phase", "there"),
    [
        ("waiting", "Waiting", True),
        ("waiting", "Completed", False),
        ("completed", "Completed", True),
        ("ended", "Cancelled", True),
        ("ended", "Completed", False),
        ("trouble", "ManualReview", True),
        ("open", "Failed", False),
        ("open", "Running", True),
    ],
)
def test_the_list_is_narrowed_by_what_orders_do(
    cluster: FakeCluster, browser: Browser, group: str, phase: str, there: bool
) -> None:
    cluster.put(an_order(status={"phase": phase}))
    _known(browser, "order-1500")

    assert ("/orders/shop/order-1500" in browser("maria").get(f"/?group={group}").text) is there


def approve(browser: Browser, user: str, **fields: str) -> tuple[int, str]:
    form = {"csrf": proof(user), "generation": "1", "total": "150000", "reason": "known customer", **fields}
    answer = browser(user).post("/orders/shop/order-1500/approve", data=form)
    return answer.status_code, answer.text


def test_an_approval_is_one_patch_in_the_callers_name_about_the_amount_that_was_shown(
    cluster: FakeCluster, browser: Browser
) -> None:
    cluster.put(an_order())

    assert approve(browser, "maria")[0] == 303

    ((user, method, path, body),) = cluster.sent
    assert (user, method) == ("maria", "PATCH")
    assert path.endswith("/namespaces/shop/orders/order-1500")
    wanted = {"decision": "Approved", "by": "maria", "totalMinor": 150_000, "reason": "known customer"}
    assert body["spec"] == {"approval": wanted}


def test_a_form_without_the_sessions_proof_changes_nothing(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())

    assert approve(browser, "maria", csrf=proof("viewer"))[0] == 403
    assert cluster.sent == []


def test_a_form_about_an_order_that_changed_since_is_refused_with_the_reason(
    cluster: FakeCluster, browser: Browser
) -> None:
    order = an_order()
    order["metadata"]["generation"] = 2
    cluster.put(order)

    status, text = approve(browser, "maria")

    assert status == 422
    assert "somebody changed this order since" in text
    assert cluster.sent == []


@pytest.mark.parametrize("action", ["approve", "cancel", "address"])
def test_a_form_about_an_order_that_was_deleted_and_ordered_again_changes_nothing(
    cluster: FakeCluster, browser: Browser, action: str
) -> None:
    """Both were of generation 1 and of one total: the new one was approved, or cancelled."""
    cluster.put(an_order())
    form = {"csrf": proof("maria"), "generation": "1", "total": "150000", "uid": "uid-of-the-first", "sure": "yes"}

    answer = browser("maria").post(f"/orders/shop/order-1500/{action}", data=form)

    assert (answer.status_code, "this is another one of its name" in answer.text) == (422, True)
    assert cluster.sent == []


def test_every_form_says_which_order_it_is_about_and_so_does_the_patch(cluster: FakeCluster, browser: Browser) -> None:
    uid = cluster.put(an_order())["metadata"]["uid"]

    shown = browser("maria").get("/orders/shop/order-1500").text
    approve(browser, "maria", uid=uid)

    assert shown.count(f'name="uid" value="{uid}"') == shown.count('name="generation"') > 0
    assert cluster.sent[0][3]["metadata"]["uid"] == uid


def test_what_the_api_server_refuses_is_said_in_its_words(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    cluster.allow("guest", "list", "get")

    status, text = approve(browser, "guest")

    assert status == 403
    assert "guest cannot patch orders" in text


def test_a_button_that_is_not_for_the_caller_is_disabled_and_says_why(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    shown = browser("viewer").get("/orders/shop/order-1500").text

    assert re.search(r'<button disabled aria-describedby="why-approve">', shown)
    assert "needs the verb approve on orders.order-platform.dev in shop" in shown


def test_who_ordered_is_told_that_somebody_else_decides(cluster: FakeCluster, browser: Browser) -> None:
    cluster.classes["threshold"] = {"metadata": {"name": "threshold"}, "spec": {"approval": {"fourEyes": True}}}
    cluster.put(an_order(spec={"requestedBy": "maria"}))

    assert (
        "class threshold has four eyes: somebody else decides" in browser("maria").get("/orders/shop/order-1500").text
    )


def test_the_inbox_has_what_waits_for_the_caller_alone(cluster: FakeCluster, browser: Browser) -> None:
    cluster.classes["threshold"] = {"metadata": {"name": "threshold"}, "spec": {"approval": {"fourEyes": True}}}
    cluster.put(an_order("mine", spec={"requestedBy": "maria"}))
    cluster.put(an_order("theirs", spec={"requestedBy": "ana"}))
    cluster.put(an_order("decided", spec={"approval": {"decision": "Approved", "by": "bob"}}))
    _known(browser, "decided")

    shown = browser("maria").get("/inbox").text

    assert "1 order waits for you" in shown
    assert "shop/theirs" in shown
    assert "shop/mine" not in shown


def test_a_cancellation_is_asked_for_twice(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    form = {"csrf": proof("maria"), "generation": "1", "reason": "wrong"}

    first = browser("maria").post("/orders/shop/order-1500/cancel", data=form)
    assert first.status_code == 200
    assert cluster.sent == []

    second = browser("maria").post("/orders/shop/order-1500/cancel", data={**form, "sure": "yes"})
    assert second.status_code == 303
    assert cluster.sent[0][3]["spec"] == {"cancellation": {"by": "maria", "reason": "wrong"}}


def test_changed_quantities_keep_the_other_fields_and_the_total_right(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order(spec={"totalMinor": 150_000, "requestedBy": "ana"}))
    form = {"csrf": proof("maria"), "generation": "1", "lines.1": "3", "lines.2": "0"}

    assert browser("maria").post("/orders/shop/order-1500/lines", data=form).status_code == 303

    line = {"lineID": "1", "sku": "PROD-001", "quantity": 3, "unitPriceMinor": 75_000}
    assert cluster.sent[0][3]["spec"] == {"lines": [line], "totalMinor": 225_000, "editedBy": "maria"}


def test_a_quantity_that_is_none_is_refused_with_its_line(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    form = {"csrf": proof("maria"), "generation": "1", "lines.1": "two", "lines.2": "1"}

    answer = browser("maria").post("/orders/shop/order-1500/lines", data=form)

    assert answer.status_code == 422
    assert "the quantity of line 1 must be a whole number" in answer.text


def test_an_address_loses_what_was_emptied(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    form = {
        "csrf": proof("maria"),
        "generation": "1",
        "shippingAddress.postalCode": "",
        "shippingAddress.city": "Boston",
    }

    assert browser("maria").post("/orders/shop/order-1500/address", data=form).status_code == 303

    address = cluster.sent[0][3]["spec"]["shippingAddress"]
    assert address == {
        "name": "Ana Torres",
        "line1": "1 Main Street",
        "city": "Boston",
        "postalCode": None,
        "country": "US",
    }


ORDER = {
    "namespace": "shop",
    "name": "new-1",
    "currency": "USD",
    "customer.id": "CUST-1",
    "customer.email": "",
    "payment.method": "tok_visa",
    "lines.0.sku": "PROD-001",
    "lines.0.quantity": "2",
    "lines.0.price": "12.50",
    "shippingAddress.name": "Ana",
    "shippingAddress.line1": "1 Main Street",
    "shippingAddress.city": "Springfield",
    "shippingAddress.country": "US",
}


def test_the_form_places_an_order_in_the_callers_name(cluster: FakeCluster, browser: Browser) -> None:
    answer = browser("maria").post("/new", data={**ORDER, "csrf": proof("maria"), "do": "place"})

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/orders/shop/new-1")
    spec = cluster.orders["shop", "new-1"]["spec"]
    assert spec["requestedBy"] == "maria"
    assert spec["lines"] == [{"lineID": "1", "sku": "PROD-001", "quantity": 2, "unitPriceMinor": 1250}]
    assert spec["customer"] == {"id": "CUST-1"}


def test_the_form_can_be_checked_without_placing_anything(cluster: FakeCluster, browser: Browser) -> None:
    answer = browser("maria").post("/new", data={**ORDER, "csrf": proof("maria"), "do": "check"})

    assert "The API server would take this order: 25.00 USD" in answer.text
    assert cluster.orders == {}


def test_what_the_api_server_says_of_a_field_stands_at_that_field(cluster: FakeCluster, browser: Browser) -> None:
    fields = {"spec.lines[0].unitPriceMinor": "too much", "spec.shippingAddress.country": "GB is meant"}
    cluster.refuses = ApiError(422, "Order is invalid", fields)

    answer = browser("maria").post("/new", data={**ORDER, "csrf": proof("maria"), "do": "place"})

    assert answer.status_code == 422
    assert '<p class="error" id="wrong-lines-0-price">too much</p>' in answer.text
    assert '<p class="error" id="wrong-shippingAddress-country">GB is meant</p>' in answer.text


def test_while_somebody_fills_in_the_form_each_change_is_answered_with_what_is_wrong_and_the_total(
    cluster: FakeCluster, browser: Browser
) -> None:
    """Nothing is created, no field is drawn again, and one that is still empty is not called wrong."""
    cluster.refuses = ApiError(
        422, "no", {"spec.shippingAddress.country": "GB is meant", "spec.customer.id": "missing"}
    )
    form = {**ORDER, "customer.id": "", "csrf": proof("maria"), "do": "watch"}

    answer = browser("maria").post("/new", data=form)

    assert (answer.status_code, cluster.orders) == (200, {})
    said = dict(re.findall(r'hx-target="#([^"]+)"[^>]*><span>([^<]*)</span>', answer.text))
    assert (said["wrong-shippingAddress-country"], said["wrong-customer-id"]) == ("GB is meant", "")
    assert said["total"] == "25.00 USD"
    assert "<input" not in answer.text


def test_a_field_of_any_name_leads_to_no_other_place_of_the_page(cluster: FakeCluster, browser: Browser) -> None:
    form = {**ORDER, 'x" hx-swap="outerHTML': "1", "a b": "1", "csrf": proof("maria"), "do": "watch"}

    answer = browser("maria").post("/new", data=form)

    assert "outerHTML" not in answer.text
    assert "a b" not in answer.text


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("lines.0.price", "1.255", "at most 2 digits after the point"),
        ("lines.0.price", "cheap", "at most 2 digits after the point"),
        ("lines.0.quantity", "0", "a whole number, at least 1"),
        ("namespace", "", "where the order belongs"),
    ],
)
def test_what_is_no_number_is_refused_before_it_is_sent(
    cluster: FakeCluster, browser: Browser, field: str, given: str, says: str
) -> None:
    answer = browser("maria").post("/new", data={**ORDER, field: given, "csrf": proof("maria"), "do": "place"})

    assert answer.status_code == 422
    assert says in answer.text
    assert cluster.sent == []


def test_the_audit_trail_needs_the_verb_audit(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    answer = browser("maria").get("/orders/shop/order-1500/audit")

    assert answer.status_code == 403
    assert "needs the verb audit" in answer.text


def test_an_order_that_is_not_there_is_said_to_be_missing(browser: Browser) -> None:
    answer = browser("maria").get("/orders/shop/nowhere")

    assert answer.status_code == 404
    assert "order nowhere not found" in answer.text


def test_a_scenario_fills_the_form_and_brings_its_class_along(cluster: FakeCluster, browser: Browser) -> None:
    """With what the form has no field for, and as far as the caller may."""
    shown = browser("maria").get("/new?scenario=flaky-calls&namespace=shop").text
    assert 'name="className" value="scenario-flaky-calls"' in shown
    assert "OrderClass scenario-flaky-calls is made if it is missing" in shown
    form = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', shown))

    placed = browser("maria").post("/new", data={**form, "csrf": proof("maria"), "do": "place"})

    assert placed.status_code == 303, placed.text
    assert cluster.classes["scenario-flaky-calls"]["spec"]["simulation"]
    assert cluster.orders["shop", "flaky-calls-1"]["spec"]["className"] == "scenario-flaky-calls"


def test_a_scenario_whose_class_the_caller_may_not_make_says_so(cluster: FakeCluster, browser: Browser) -> None:
    cluster.allow("clerk", "list", "create")
    shown = browser("clerk").get("/new?scenario=flaky-calls&namespace=shop").text
    form = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', shown))
    cluster.may_make_classes = {"maria"}

    answer = browser("clerk").post("/new", data={**form, "csrf": proof("clerk"), "do": "place"})

    assert answer.status_code == 422
    assert "clerk cannot create orderclasses" in answer.text
    assert cluster.orders == {}


@pytest.mark.parametrize("name", demonstrations.names())
def test_every_scenario_can_be_begun_from(cluster: FakeCluster, browser: Browser, name: str) -> None:
    shown = browser("maria").get(f"/new?scenario={name}&namespace=shop").text
    form = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', shown))

    assert browser("maria").post("/new", data={**form, "csrf": proof("maria"), "do": "place"}).status_code == 303

    (placed,) = cluster.orders.values()
    scenario = demonstrations.find(name)
    assert scenario is not None
    assert {**placed["spec"], "requestedBy": ""} == {**scenario.spec, "requestedBy": ""}


@pytest.mark.parametrize(
    ("applied", "says"),
    [
        ({}, "The last change is on its way to the order."),
        ({"status": "True", "observedGeneration": 2}, "The last change was taken."),
        (
            {"status": "False", "observedGeneration": 2, "reason": "TooLate", "message": "it has been shipped"},
            "The last change was refused (TooLate): it has been shipped",
        ),
    ],
    ids=["on its way", "taken", "refused"],
)
def test_a_page_says_what_the_workflow_made_of_the_last_change(
    cluster: FakeCluster, browser: Browser, applied: dict[str, object], says: str
) -> None:
    condition = {"type": "SpecApplied", "status": "True", "observedGeneration": 1, **applied}
    order = an_order(status={"conditions": [condition], "observedGeneration": condition["observedGeneration"]})
    order["metadata"]["generation"] = 2
    cluster.put(order)

    assert says in browser("maria").get("/orders/shop/order-1500").text


def test_an_inbox_shows_the_oldest_and_says_how_many_there_are(cluster: FakeCluster, browser: Browser) -> None:
    for number in range(60):
        order = an_order(f"order-{number}")
        order["metadata"]["creationTimestamp"] = f"2026-11-26T10:{number:02}:00Z"
        cluster.put(order)
    _known(browser, "order-59")

    shown = browser("maria").get("/inbox").text

    assert "60 orders wait for you" in shown
    assert "The oldest 50 are shown." in shown
    assert ">shop/order-0<" in shown
    assert ">shop/order-50<" not in shown


@pytest.mark.parametrize(("path", "status"), [("/orders/shop/nowhere", 404), ("/orders/shop/order-1500/audit", 403)])
def test_a_program_is_refused_in_the_form_of_an_api_server(
    cluster: FakeCluster, browser: Browser, path: str, status: int
) -> None:
    cluster.put(an_order())
    answer = browser("maria").get(f"{path}?format=json")

    assert (answer.status_code, answer.json()["kind"], answer.json()["code"]) == (status, "Status", status)
    assert answer.json()["message"]
