"""The page as people use it: in a browser, on a real stack."""

import os
import re
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from shop_floor import NAMESPACE, PROOF, ROOT, AnotherConsole, Shop, Visit

from order_console.streams import MAX_OF_ONE
from order_devstack.stack import Stack

pytestmark = pytest.mark.browser

PICTURES = ROOT / "docs" / "pictures"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def row(page: Page, name: str) -> Any:
    return page.locator("#rows tr", has=page.get_by_role("link", name=name, exact=True))


def tracker(page: Page) -> Any:
    return page.locator("#tracker")


def test_an_order_that_is_applied_appears_without_a_reload_and_moves(visit: Visit, shop: Shop) -> None:
    page = visit("maria")
    name = shop.order(50_000)

    expect(row(page, name)).to_contain_text("Order Completed")
    expect(row(page, name)).to_contain_text("100 %")


def test_an_order_is_approved_in_the_page_and_followed_to_its_end(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    page = visit("maria")
    expect(row(page, name)).to_contain_text("Await Approval")
    row(page, name).get_by_role("link").click()
    page.get_by_label("Reason").first.fill("known customer")

    page.get_by_role("button", name="Approve").click()

    expect(tracker(page)).to_contain_text("Order Completed")
    expect(tracker(page)).to_contain_text("by maria (Policy): known customer")


def test_the_inbox_empties_as_orders_are_decided(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    inbox, other = visit("maria", "/inbox"), visit("maria", "/inbox")
    expect(other.locator("#inbox")).to_contain_text(f"{NAMESPACE}/{name}: 1500.00 USD")
    expect(other.locator("#inbox time.until")).to_contain_text("left")

    inbox.get_by_role("button", name="Reject").click()

    expect(tracker(inbox)).to_contain_text("Order Rejected")
    expect(other.locator("#inbox")).to_contain_text("0 orders wait for you")


def test_a_viewer_reads_and_is_told_why_the_buttons_are_not_theirs(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    page = visit("vera", f"/orders/{NAMESPACE}/{name}")

    button = page.get_by_role("button", name="Approve")
    expect(button).to_be_disabled()
    expect(page.locator("#why-approve")).to_contain_text("you (vera) may not: this needs the verb approve")

    button.evaluate("button => button.disabled = false")
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("cannot patch resource")
    assert "approval" not in shop.stack.kubectl("get", "ord", name, "-n", NAMESPACE, "-o", "jsonpath={.spec}")


def test_a_stranger_sees_no_order(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    page = visit("nobody")

    expect(page.locator("#head")).to_contain_text("0 orders")
    page.goto(f"/orders/{NAMESPACE}/{name}")
    expect(page.get_by_role("alert")).to_contain_text("cannot get resource")


def test_an_order_is_placed_with_the_errors_of_the_api_server_at_their_fields(visit: Visit, shop: Shop) -> None:
    page = visit("maria", f"/new?namespace={NAMESPACE}")
    fields = {
        "Class": "threshold",
        "Customer number": "CUST-1",
        "Recipient": "Ana Torres",
        "Street": "1 Main Street",
        "Town": "Springfield",
        "Postal code": "62701",
    }
    for label, value in fields.items():
        page.get_by_label(label).first.fill(value)
    page.get_by_label("Article").first.fill("PROD-001")
    page.get_by_label("Price of one").first.fill("12.50")
    page.get_by_label("Country").fill("UK")

    page.get_by_role("button", name="Order", exact=True).click()

    country = page.get_by_label("Country")
    expect(country).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#wrong-shippingAddress-country")).to_contain_text("GB")

    country.fill("US")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("would take this order: 12.50 USD")
    page.get_by_role("button", name="Order", exact=True).click()
    expect(tracker(page)).to_contain_text("Order Completed")
    shop.stack.kubectl("get", "ord", page.url.split("/")[-1].split("?")[0], "-n", NAMESPACE)


def test_a_form_is_checked_while_it_is_filled_in(visit: Visit, shop: Shop) -> None:
    page = visit("maria", f"/new?namespace={NAMESPACE}")
    page.get_by_label("Article").first.fill("PROD-001")
    page.get_by_label("Quantity").first.fill("3")
    page.get_by_label("Price of one").first.fill("12.50")
    page.get_by_label("Country").fill("UK")
    page.get_by_label("Town").fill("Springfield")

    expect(page.locator("#total")).to_have_text("37.50 USD")
    expect(page.locator("#wrong-shippingAddress-country")).to_contain_text("GB")
    page.get_by_label("Country").fill("GB")
    page.get_by_label("Town").fill("London")

    expect(page.locator("#wrong-shippingAddress-country")).to_be_hidden()
    expect(page.get_by_label("Town")).to_have_value("London")


def test_what_is_written_into_an_order_stays_text(visit: Visit, shop: Shop) -> None:
    script = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    name = shop.order(shippingAddress={"name": script, "line1": script, "city": script, "country": "US"})
    page = visit("maria", f"/orders/{NAMESPACE}/{name}")

    expect(tracker(page)).to_contain_text("Await Approval")
    expect(tracker(page)).to_contain_text(script)
    assert page.locator("main img").count() == 0


def test_a_page_says_that_the_api_server_is_away_and_catches_up(visit: Visit, shop: Shop, stack: Stack) -> None:
    before = shop.order()
    page = visit("maria")
    expect(row(page, before)).to_contain_text("Await Approval")

    stack.stop("kube-apiserver")
    try:
        expect(page.locator("#head")).to_contain_text("What is shown may be old")
    finally:
        stack.start("kube-apiserver")
        stack.up()  # the operator ends where it cannot renew its lease; in a cluster the kubelet starts it again
    after = shop.order(50_000)

    expect(row(page, after)).to_contain_text("Order Completed", timeout=60_000)
    expect(page.locator("#head")).not_to_contain_text("may be old")


def test_a_page_says_that_the_console_is_away_and_goes_on_when_it_is_back(
    visit: Visit, shop: Shop, another_console: AnotherConsole
) -> None:
    """It looked as if it were still told of every change."""
    with another_console.served():
        page = visit("maria", f"{another_console.address}/")
        before = shop.order()
        expect(row(page, before)).to_contain_text("Await Approval")
        expect(page.locator("#live")).to_be_hidden()

    expect(page.locator("#live")).to_contain_text("The console does not answer. What is shown may be old")
    with another_console.served():
        expect(page.locator("#live")).to_be_hidden()
        after = shop.order()
        expect(row(page, after)).to_contain_text("Await Approval")


def test_a_page_that_is_one_too_many_says_that_it_is_not_followed(visit: Visit, shop: Shop, console: str) -> None:
    name = shop.order()
    expect(row(visit("vera"), name)).to_contain_text("Await Approval")
    headers = {"X-Order-Console-Proof": PROOF, "X-Forwarded-User": "maria"}
    with ExitStack() as followed:
        for _ in range(MAX_OF_ONE):
            asked = urllib.request.Request(f"{console}/events", headers=headers)  # noqa: S310 - our own console
            stream = followed.enter_context(urllib.request.urlopen(asked, timeout=30))  # noqa: S310
            assert stream.read(1)

        page = visit("maria")

        expect(page.locator("#live")).to_contain_text("you follow 20 pages: this one is not followed until")
        expect(row(page, name)).to_contain_text("Await Approval")


def test_a_button_that_is_pressed_twice_approves_once_and_shows_the_order(visit: Visit, shop: Shop) -> None:
    page = visit("maria", f"/orders/{NAMESPACE}/{shop.order()}")
    expect(tracker(page)).to_contain_text("Await Approval")
    page.get_by_label("Reason").first.fill("known customer")

    page.get_by_role("button", name="Approve").dblclick()

    expect(tracker(page)).to_contain_text("Order Completed")
    expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)


def test_a_screen_on_the_wall_shows_orders_without_names_and_buttons(
    visit: Visit, shop: Shop, another_console: AnotherConsole
) -> None:
    name = shop.order()
    with another_console.served(ORDER_CONSOLE_IDENTITY="anonymous"):
        page = visit("", f"{another_console.address}/")
        expect(row(page, name)).to_contain_text("Await Approval")
        row(page, name).get_by_role("link").click()

        expect(tracker(page)).to_contain_text("Await Approval")
        expect(page.locator("#actions")).to_contain_text("for reading alone")
        expect(page.get_by_role("button")).to_have_count(0)
        expect(tracker(page)).not_to_contain_text("Ana Torres")
        page.close()


def test_two_hundred_orders_and_ten_people_who_watch(visit: Visit, shop: Shop) -> None:
    pages = [visit("maria" if number % 2 else "vera") for number in range(10)]
    shop.orders(200)

    for page in pages:
        expect(page.locator("#head")).to_contain_text("200 orders: 200 wait", timeout=120_000)
    shop.stack.kubectl(
        "patch", "ord", "many-7", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"cancellation":{"reason":"enough"}}}'
    )
    for page in pages:
        expect(row(page, "many-7")).to_contain_text("Order Cancelled")


def test_an_order_is_approved_by_the_keyboard_alone(visit: Visit, shop: Shop) -> None:
    shop.order()
    page = visit("maria", "/inbox")
    expect(page.locator("#inbox")).to_contain_text("1 order waits for you")

    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "reason":
            break
    page.keyboard.type("known customer")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(tracker(page)).to_contain_text("Order Completed")


def test_orders_can_be_read_and_decided_without_scripts(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    with_scripts = visit("maria")
    expect(row(with_scripts, name)).to_contain_text("Await Approval")
    page = visit("maria", java_script_enabled=False)
    row(page, name).get_by_role("link").click()
    expect(tracker(page)).to_contain_text(re.compile(r"until \d\d \w\w\w"))

    page.get_by_role("button", name="Approve").click()

    with_scripts.goto(f"/orders/{NAMESPACE}/{name}")
    expect(tracker(with_scripts)).to_contain_text("Order Completed")


def test_the_audit_trail_names_who_decided(visit: Visit, shop: Shop) -> None:
    name = shop.order()
    page = visit("maria", f"/orders/{NAMESPACE}/{name}")
    expect(tracker(page)).to_contain_text("Await Approval")
    page.get_by_role("button", name="Approve").click()
    expect(tracker(page)).to_contain_text("Order Completed")

    page.get_by_role("link", name="Audit trail").click()

    expect(page.locator("tbody")).to_contain_text("maria")
    expect(page.locator("tbody")).to_contain_text("1500.00 USD")


PAGES = {"list": "/", "order": "/orders/{namespace}/{name}", "inbox": "/inbox", "new": "/new", "audit": "{order}/audit"}


def _path(page: str, name: str) -> str:
    return PAGES[page].format(namespace=NAMESPACE, name=name, order=f"/orders/{NAMESPACE}/{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", PAGES)
def test_no_page_has_a_barrier(visit: Visit, shop: Shop, axe: str, which: str, scheme: str) -> None:
    name = shop.order()
    page = visit("maria", _path("order", name), color_scheme=scheme)
    expect(tracker(page)).to_contain_text("Await Approval")
    page.goto(_path(which, name))

    # By the debugger's way: the page itself takes no script but its own.
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": axe})
    run = f"axe.run({{runOnly: {WCAG}}}).then(found => JSON.stringify(found.violations.map(each => each.help)))"
    found = session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True})

    assert found["result"]["value"] == "[]"


@pytest.mark.parametrize("which", PAGES)
def test_every_page_fits_a_narrow_screen(visit: Visit, shop: Shop, which: str) -> None:
    name = shop.order()
    page = visit("maria", _path("order", name), viewport={"width": 320, "height": 640})
    expect(tracker(page)).to_contain_text("Await Approval")
    page.goto(_path(which, name))

    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_pictures_of_the_docs_are_of_today(visit: Visit, shop: Shop) -> None:
    """They are written anew with UPDATE_PICTURES=1; else this shows only that there is one of each page."""
    pages = ("list", "order", "inbox", "new", "audit")
    if os.environ.get("UPDATE_PICTURES"):
        shop.order(50_000, "order-0500")
        name = shop.order(name="order-1500")
        page = visit("maria", viewport={"width": 1000, "height": 620})
        expect(row(page, name)).to_contain_text("Await Approval")
        expect(row(page, "order-0500")).to_contain_text("Order Completed")
        for which in pages:
            page.goto(_path(which, "order-0500" if which == "audit" else name))
            page.screenshot(path=PICTURES / f"console-{which}.png")

    assert [which for which in pages if not Path(PICTURES / f"console-{which}.png").exists()] == []
