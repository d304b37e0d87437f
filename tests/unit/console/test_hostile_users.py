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

import pytest
from console_pieces import Browser, an_order, proof
from fake_cluster import FakeCluster
from starlette.responses import Response
from starlette.testclient import TestClient

from order_console.api_server import ApiError, orders_path
from order_console.headers import MAX_BODY_BYTES
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


def test_a_form_that_is_sent_twice_decides_once(cluster: FakeCluster, browser: Browser) -> None:
    cluster.put(an_order())

    assert posted(browser, "/orders/shop/order-1500/approve")[0] == 303
    status, text = posted(browser, "/orders/shop/order-1500/approve")

    assert (status, "the order is past that" in text) == (422, True)
    assert len(cluster.sent) == 1


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
    for text in ("(((", "\\", "%", "'; DROP TABLE orders; --", "\u202eevil", "x" * 5000):
        assert maria.get("/", params={"text": text}).status_code == 200, text


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
