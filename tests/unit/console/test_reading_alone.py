"""A console that knows nobody: everybody sees the orders, and changes none."""

from collections.abc import Iterator

import pytest
from console_pieces import SECRET, an_order
from fake_cluster import FakeCluster
from starlette.requests import Request
from starlette.testclient import TestClient

from order_console.app import application
from order_console.console import Console
from order_console.identity import Caller
from order_console.sessions import Session, Sessions

ORDER = "/orders/shop/order-1500"


class Nobody:
    """As OfNobody, on the cluster in memory."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def caller(self, _: Request) -> Caller:
        return Caller("", (), self._cluster.as_user("console"), Session(SECRET), reads_only=True)  # type: ignore[arg-type]


@pytest.fixture
def anybody(cluster: FakeCluster, console: Console) -> Iterator[TestClient]:
    """A browser. The console's account has every right, which must not count."""
    cluster.allow("console", "get", "patch", "create", "update", "approve", "reject", "cancel", "audit")
    cluster.put(an_order(spec={"requestedBy": "ana@example.com"}))
    console.identity, console.own_rights = Nobody(cluster), False
    app = application(console, Sessions(None, secure=False), {"testserver"})
    with TestClient(app, follow_redirects=False) as client:
        while console.reflector.problem is not None:
            client.get("/readyz")
        yield client


def test_the_list_and_an_order_are_shown(anybody: TestClient) -> None:
    assert "order-1500" in anybody.get("/").text
    assert "Await Approval" in anybody.get(ORDER).text


@pytest.mark.parametrize("path", ["/inbox", "/new", f"{ORDER}/audit", f"{ORDER}/audit?format=json"])
def test_the_other_pages_are_not(anybody: TestClient, path: str) -> None:
    answer = anybody.get(path)

    assert (answer.status_code, "for reading alone" in answer.text) == (403, True)


@pytest.mark.parametrize("path", [f"{ORDER}/approve", f"{ORDER}/cancel", f"{ORDER}/lines", "/new"])
def test_no_form_is_taken(cluster: FakeCluster, anybody: TestClient, path: str) -> None:
    form = {"csrf": Session(SECRET).proof(), "generation": "1", "total": "150000", "sure": "yes", "namespace": "shop"}

    assert anybody.post(path, data=form).status_code == 403
    assert cluster.sent == []


def test_no_page_has_a_button_a_name_or_an_address(anybody: TestClient) -> None:
    shown = anybody.get(ORDER).text

    assert "This console is for reading alone." in shown
    for hidden in ("<button", "Ana Torres", "Springfield", "ana@example.com", "Log out", "Audit trail"):
        assert hidden not in shown, hidden
