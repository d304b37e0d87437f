"""What somebody tries who means harm: by links, by forms of other pages, by numbers that are none, by sheer size."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from console_pieces import Browser, an_order, proof
from fake_cluster import FakeCluster
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from order_console.api_server import ApiError, orders_path
from order_console.headers import MAX_BODY_BYTES
from order_console.identity import OfKubeconfig
from order_console.pages import login
from order_console.sessions import Session, Sessions, TooLarge

PATIENCE_SECONDS = 60.0
FORM = {"generation": "1", "total": "150000"}


def posted(browser: Browser, path: str, headers: dict[str, str] | None = None, **fields: str) -> tuple[int, str]:
    answer = browser("maria").post(path, data={"csrf": proof("maria"), **FORM, **fields}, headers=headers)
    return answer.status_code, answer.text


def test_a_link_cannot_make_a_page_say_what_its_sender_likes(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    maria = browser("maria")

    assert "call this number" not in maria.get("/orders/shop/order-1500?done=blocked,+call+this+number").text
    assert "Sent: approve" in maria.get("/orders/shop/order-1500?done=approve").text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/login", "/logout", "/new", "/orders/shop/order-1500/approve"])
def test_no_other_page_sends_a_form_for_somebody_not_even_that_of_the_login(
    cluster: FakeCluster, browser: Browser, path: str, site: str
) -> None:
    """Whoever is logged in as somebody else without noticing orders in that name."""
    cluster.put(an_order())

    assert posted(browser, path, {"sec-fetch-site": site})[0] == 403
    assert cluster.sent == []


@pytest.mark.parametrize("total", ["", "none", "-1", "1e5", "9" * 5000, "\uff11\uff15\uff10", "150000.0"])
def test_an_amount_that_is_none_is_refused(cluster: FakeCluster, browser: Browser, total: str) -> None:
    """It ended in an error of the server."""
    cluster.put(an_order())

    status, text = posted(browser, "/orders/shop/order-1500/approve", total=total)

    assert (status, "not one that this page showed" in text) == (422, True)
    assert cluster.sent == []


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "1e999999999", "-5", "9" * 40, "\uff11\uff12"])
def test_a_price_that_is_none_is_refused(cluster: FakeCluster, browser: Browser, price: str) -> None:
    """Infinity is a Decimal, and ended in an error of the server; so did a number of a billion digits, much later."""
    order = {"namespace": "shop", "name": "new-1", "currency": "USD", "lines.0.sku": "A", "lines.0.quantity": "1"}

    status, text = posted(browser, "/new", **order, **{"lines.0.price": price, "do": "place"})

    assert (status, "an amount with at most 2 digits" in text) == (422, True)
    assert cluster.sent == []


@pytest.mark.parametrize("quantity", ["9" * 5000, "1_000", "٣", " ", "0x10"])
def test_a_quantity_that_is_none_is_refused(cluster: FakeCluster, browser: Browser, quantity: str) -> None:
    cluster.put(an_order())
    lines = {"lines.1": quantity, "lines.2": "1"}

    assert posted(browser, "/orders/shop/order-1500/lines", **lines)[0] == 422
    assert cluster.sent == []


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("approve", {"reason": "known customer"}),
        ("reject", {}),
        ("suspend", {}),
        ("cancel", {"sure": "yes", "reason": "twice"}),
        ("lines", {"lines.1": "3", "lines.2": "0"}),
        ("address", {"shippingAddress.city": "Boston", "shippingAddress.postalCode": ""}),
    ],
)
def test_a_button_that_is_pressed_twice_does_it_once_and_says_that_it_is_done(
    cluster: FakeCluster, browser: Browser, action: str, fields: dict[str, str]
) -> None:
    """The browser shows the second answer, which was that somebody had changed the order."""
    cluster.put(an_order())
    first = posted(browser, f"/orders/shop/order-1500/{action}", **fields)
    second = posted(browser, f"/orders/shop/order-1500/{action}", **fields)

    assert (first[0], second[0]) == (303, 303)
    assert len(cluster.sent) == 1


def test_another_decision_after_the_first_is_refused(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())

    assert posted(browser, "/orders/shop/order-1500/approve")[0] == 303
    status, text = posted(browser, "/orders/shop/order-1500/reject")

    assert (status, "somebody changed this order since" in text) == (422, True)
    assert len(cluster.sent) == 1


NEW = {
    "namespace": "shop",
    "name": "new-1",
    "currency": "USD",
    "customer.id": "CUST-1",
    "payment.method": "tok_visa",
    "lines.0.sku": "A",
    "lines.0.quantity": "1",
    "lines.0.price": "12.50",
    "do": "place",
}


def test_an_order_whose_button_is_pressed_twice_is_placed_once_and_shown(
    cluster: FakeCluster, browser: Browser
) -> None:
    """Its second answer was that such an order exists already, as if nothing had been ordered."""
    first, second = (browser("maria").post("/new", data={"csrf": proof("maria"), **NEW}) for _ in range(2))

    assert first.headers["location"] == second.headers["location"] == "/orders/shop/new-1?done=placed"
    assert list(cluster.orders) == [("shop", "new-1")]


def test_an_order_of_a_name_that_another_one_has_is_refused(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order("new-1"))

    status, text = posted(browser, "/new", **NEW)

    assert (status, "order new-1 already exists" in text) == (422, True)


def test_of_two_tabs_the_one_that_is_behind_is_told_to_look_again(cluster: FakeCluster, browser: Browser) -> None:
    order = an_order()
    cluster.put(order)
    order["metadata"]["generation"] = 2
    order["spec"]["lines"][0]["quantity"] = 100
    cluster.put(order)

    status, text = posted(browser, "/orders/shop/order-1500/approve")

    assert (status, "somebody changed this order since you opened the page" in text) == (422, True)


@pytest.mark.parametrize("name", ["..", "a/b", "a?watch=true", "a%2fb", "", "A", "a" * 300, "a\nb", "-a"])
def test_no_name_leads_to_another_path_of_the_api_server(name: str) -> None:
    """`/orders/shop/x%3Fwatch=true` was a question of another kind."""
    with pytest.raises(ApiError) as refused:
        orders_path("shop", name)
    with pytest.raises(ApiError):
        orders_path(name)
    assert refused.value.status == 404


@pytest.mark.parametrize("path", ["/orders/%2e%2e/secrets", "/orders/shop/x%3Fwatch=true", "/orders/shop/x%0Ay"])
def test_a_path_that_is_no_orders_is_not_found(browser: Browser, path: str) -> None:
    assert browser("maria").get(path).status_code == 404


def test_a_form_of_any_size_is_not_read(browser: Browser) -> None:
    """Also where nobody is logged in: a few of a gigabyte each took all memory."""
    large = b"token=" + b"x" * MAX_BODY_BYTES
    headers = {"content-type": "application/x-www-form-urlencoded"}

    assert browser("").post("/login", content=large, headers=headers).status_code == 413
    assert browser("").post("/login", content=iter([b"token=x"]), headers=headers).status_code == 413


def test_the_host_is_compared_without_regard_to_letters_and_by_all_of_its_name(browser: Browser) -> None:
    maria = browser("maria")

    assert maria.get("/", headers={"host": "TestServer:8088"}).status_code == 200
    for host in ("testserver.evil.example", "eviltestserver", "", "testserver@evil.example"):
        assert maria.get("/", headers={"host": host}).status_code == 421, host


def test_over_tls_no_neighbour_can_put_a_cookie_in_the_place_of_ours() -> None:
    answer = Response()
    Sessions(None, secure=True).give(answer, Session.new("a token"))

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-order-console=")
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "a token" not in cookie


def test_two_consoles_of_one_machine_leave_each_others_sessions_alone() -> None:
    """Cookies know no ports: the second `kubectl order ui` logged the first one's browser out."""
    first, second = Response(), Response()
    Sessions(None, secure=False, name="-8088").give(first, Session.new())
    Sessions(None, secure=False, name="-8089").give(second, Session.new())

    assert first.headers["set-cookie"].split("=")[0] != second.headers["set-cookie"].split("=")[0]


def test_a_token_that_fits_into_no_cookie_is_said_to_be_one() -> None:
    """Browsers drop such a cookie without a word, and the login came again and again."""
    with pytest.raises(TooLarge):
        Sessions(None, secure=True).give(Response(), Session.new("x" * 4_000))


def test_a_filter_is_text_of_any_kind(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())
    maria: TestClient = browser("maria")
    for text in ("x" * 40_000, "(((", "\\", "%", "'; DROP TABLE orders; --", "\u202eevil", "x" * 5000):
        assert maria.get("/", params={"text": text}).status_code == 200, text


def test_the_link_leads_to_the_orders_again_in_the_browser_that_has_used_it() -> None:
    """It was called used already, of a browser that was logged in."""
    client: Any = None
    sessions = Sessions(None, secure=False)
    identity = OfKubeconfig(client, sessions)
    console: Any = SimpleNamespace(identity=identity, logs_in=False)
    app = Starlette(routes=[Route("/start", login.start)])
    app.state.console, app.state.sessions = console, sessions
    mine, other = TestClient(app), TestClient(app)

    answers = [each.get(f"/start?token={identity.token}").status_code for each in (mine, mine, other)]

    assert answers == [200, 200, 401]


def test_a_port_that_is_taken_is_said_before_a_link_is_printed(tmp_path: Path) -> None:
    """The second `kubectl order ui` printed a link, which led to the first."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = {"KUBECONFIG": str(tmp_path), "ORDER_CONSOLE_LISTEN": f"127.0.0.1:{taken.getsockname()[1]}"}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "order_console"],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    assert (done.returncode, done.stdout) == (2, "")
    assert "Address already in use; another console may run there" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_page_at_once_also_while_the_api_server_is_away(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],"
        " clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: a, user: {token: t}}]}"
    )
    told = {"KUBECONFIG": str(kubeconfig), "ORDER_CONSOLE_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "order_console"],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    link = process.stdout.readline()
    assert "/start?token=" in link
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _status(f"http://127.0.0.1:{port}/readyz") != 503:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert link.split("token=")[1].strip() not in said


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own console
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
