"""The console as the chart installs it: reached through its Service, by people with tokens and the chart's roles."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from asking import Answer, ask
from cluster_shop import FAST, Shop
from installation import NAMESPACE, RELEASE, Installation
from looking_around import POWERLESS, look_around

from order_devstack import images
from order_devstack.cluster.backing_servers import LEDGER, ledger_url

pytestmark = pytest.mark.cluster

CONSOLE = f"{RELEASE}-console"
READER = "console_reader"
MAKE_A_READER = f"CREATE ROLE {READER} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}"


@dataclass(frozen=True)
class Visitor:
    """Somebody with a token, outside of the pods."""

    platform: Installation
    token: str

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None, {})

    def send(self, path: str, page: str, **fields: str) -> Answer:
        """A form of the page at `page`."""
        [proof, *_] = re.findall(r'name="csrf" value="([0-9a-f]+)"', self.get(page).text)
        form = urlencode({"csrf": proof, **fields})
        return self._ask("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        sent = {"Host": f"{CONSOLE}.{NAMESPACE}", "Authorization": f"Bearer {self.token}", **headers}
        return ask(self.platform, CONSOLE, method, path, body, sent)


@pytest.fixture(scope="module")
def with_console(installed: Installation) -> Iterator[Installation]:
    """The platform with its console, which reads the ledger as a user of its own."""
    installed.node.execute(LEDGER, MAKE_A_READER)
    installed.put_secret("ledger-reader", url=ledger_url(READER))
    image = {"registry": images.REGISTRY, "tag": images.version(), "pullPolicy": "Never"}
    ledger = {"existingSecret": {"name": "ledger-reader"}}
    installed.upgrade({"console": {"enabled": True, "image": image, "ledger": ledger}})
    yield installed
    installed.upgrade()


def visitor(shop: Shop, platform: Installation, *roles: str) -> Visitor:
    """A service account with these roles in the namespace of the shop."""
    return Visitor(platform, shop.token(*roles))


@pytest.fixture
def waiting(with_console: Installation, shop: Shop) -> str:
    """The page of an order that waits for a decision."""
    [name] = shop.place(1, of=FAST, total=150_000)  # reserved before anybody is asked
    with_console.until(lambda: shop.phases().get(name) == "Waiting", "the order Waiting")
    return f"/orders/{shop.namespace}/{name}"


def test_a_page_is_read_through_the_service_with_a_token(with_console: Installation, shop: Shop, waiting: str) -> None:
    viewer, stranger = visitor(shop, with_console, "viewer"), visitor(shop, with_console)

    with_console.until(lambda: waiting in viewer.get("/").text, "the order in the list")
    shown = viewer.get(waiting)
    assert shown.status == 200
    assert "1500.00 USD" in shown.text
    assert waiting not in stranger.get("/").text
    assert stranger.get(waiting).status == 403
    assert Visitor(with_console, "forged").get("/").status == 401


def test_a_viewers_button_is_refused_and_an_approvers_is_not(
    with_console: Installation, shop: Shop, waiting: str
) -> None:
    viewer, approver = visitor(shop, with_console, "viewer"), visitor(shop, with_console, "approver")
    form = {"generation": "1", "total": "150000", "reason": "known customer"}
    assert '<button disabled aria-describedby="why-approve">' in viewer.get(waiting).text

    refused = viewer.send(f"{waiting}/approve", waiting, **form)

    assert refused.status == 403
    assert "cannot patch resource" in refused.text
    assert shop.phases()["order-0"] == "Waiting"
    assert approver.send(f"{waiting}/approve", waiting, **form).status == 303
    with_console.until(lambda: shop.phases()["order-0"] == "Completed", "the approved order Completed")
    decided = shop.orders()["order-0"]["status"]["approval"]
    assert decided["by"] == f"system:serviceaccount:{shop.namespace}:approver"


def test_the_audit_trail_is_for_who_holds_the_verb_and_read_by_a_user_that_can_only_read(
    with_console: Installation, shop: Shop, waiting: str
) -> None:
    auditor, viewer = visitor(shop, with_console, "auditor"), visitor(shop, with_console, "viewer")

    trail = auditor.get(f"{waiting}/audit")

    assert trail.status == 200
    assert "reserve" in trail.text.lower()
    assert viewer.get(f"{waiting}/audit").status == 403


def test_the_console_itself_lists_and_watches_orders_and_asks_nothing_else(
    with_console: Installation, shop: Shop, waiting: str
) -> None:
    viewer = visitor(shop, with_console, "viewer")
    with_console.until(lambda: waiting in viewer.get("/").text, "the order in the list")

    own = [each for each in with_console.requests() if each["user"]["username"].endswith(f":{CONSOLE}")]

    assert {(each["verb"], each["objectRef"]["resource"]) for each in own} == {("list", "orders"), ("watch", "orders")}


def test_its_pod_has_no_rights_no_shell_and_nowhere_to_write(with_console: Installation) -> None:
    assert look_around(with_console, "console") == POWERLESS
