"""Commands that read: what they ask kubectl, and what they end with. Their screens are in test_screens.py."""

import json
import os
import subprocess
import sys

import pytest
import typer
from recorded_cluster import ORDERS, Ask, FakeCluster

from order_cli.commands import events
from order_cli.main import COMMANDS, application
from order_cli.plain_texts import AsGiven, AsNumber, AsWord, take_texts_as_given


def test_flags_of_kubectl_are_handed_on_unread(kubectl_order: Ask, fake: FakeCluster) -> None:
    kubectl_order(
        "--context=blue list -n shop -l team=a --as bob --as-group g --request-timeout 5s --field-selector a=b"
    )

    (call,) = fake.calls("get")
    assert call["call"] == (
        f"get {ORDERS} --namespace=shop --selector=team=a --field-selector=a=b --output=json "
        "--context=blue --as=bob --as-group=g --request-timeout=5s"
    )


def test_flags_may_stand_before_and_after_the_command_and_glued_to_their_value(
    kubectl_order: Ask, fake: FakeCluster
) -> None:
    kubectl_order("-nshop list")
    kubectl_order("list --namespace=shop")

    assert len({call["call"] for call in fake.calls("get")}) == 1


def test_a_list_asks_the_api_server_to_select_what_it_can(kubectl_order: Ask, fake: FakeCluster) -> None:
    kubectl_order("list -A --waiting --customer CUST-2 --field-selector spec.className=threshold")

    assert (
        "--field-selector=spec.className=threshold,status.phase=Waiting,spec.customer.id=CUST-2"
        in fake.calls()[0]["call"]
    )


def test_a_list_for_programs_is_what_kubectl_said(kubectl_order: Ask, fake: FakeCluster) -> None:
    listed = json.loads(kubectl_order("list -A -o json").out)

    assert listed["items"] == list(fake.orders.values())


def test_names_are_listed_for_xargs(kubectl_order: Ask) -> None:
    assert "order.order-platform.dev/o-4eyes\n" in kubectl_order("list -A --waiting -o name").out


def test_only_my_orders_are_listed(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.me = "ana@example.com"
    fake.write()

    assert set(kubectl_order("list -A --mine -o name").out.split()) == {
        f"order.order-platform.dev/{name}" for name in ("o-1043", "o-4eyes", "order-1500")
    }


def test_only_young_orders_are_listed(kubectl_order: Ask) -> None:
    assert kubectl_order("list -A --since 1m -o name").out == ""
    assert len(kubectl_order("list -A --since 2m -o name").out.split()) == 12


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("get nope", 3, "there is no order nope"),
        ("get", 2, "Missing argument"),
        ("nope", 2, "No such command"),
        ("list -n", 2, "-n needs a value"),
        ("list -o xml", 2, "-o xml: there are table"),
        ("list --since soon", 2, "soon is no time"),
        ("list --phase Done", 2, "there are Pending"),
        ("list --waiting --failed", 2, "--waiting and --failed exclude each other"),
        ("wait o-0991", 4, "o-0991 ended as Failed after 0.3 s: no delivery to postal code 00000"),
        ("wait o-1043 --for complete", 0, "o-1043 completed after"),
        ("wait o-flaky --timeout 1s", 5, "not within 1s; it is at Charge Customer"),
        ("wait o-4eyes --for waiting", 0, "o-4eyes waits"),
        ("open b4", 1, "names no page"),
    ],
)
def test_exit_codes_and_sentences(kubectl_order: Ask, command: str, code: int, told: str) -> None:
    said = kubectl_order(command)

    assert (said.code, told in said.text) == (code, True), said.text
    assert "Traceback" not in said.text
    assert len(said.text.strip().splitlines()) == 1


_FORBIDDEN = (
    f'Error from server (Forbidden): {ORDERS} is forbidden: User "vera" cannot list resource "orders" '
    'in API group "order-platform.dev" in the namespace "shop"'
)
_REFUSED = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?"
_UNREACHABLE = f'E1126 14:03:38.188429 5005 memcache.go:265] "Unhandled Error" err="..."\n{_REFUSED}'


@pytest.mark.parametrize(
    ("complaint", "code", "told"),
    [
        (
            _FORBIDDEN,
            6,
            "✗ vera may not list orders in shop: ask for the role viewer of the chart order-platform",
        ),
        (
            _UNREACHABLE,
            1,
            f"✗ {_REFUSED}",
        ),
        ('error: context "nope" does not exist', 1, '✗ context "nope" does not exist'),
        (
            'error: the server doesn\'t have a resource type "orders"',
            3,
            "✗ this cluster has no kind Order: install the chart order-platform-crds",
        ),
    ],
)
def test_what_kubectl_complains_about_is_one_sentence(
    kubectl_order: Ask, fake: FakeCluster, complaint: str, code: int, told: str
) -> None:
    fake.answer(f"^get {ORDERS}", error=complaint)

    said = kubectl_order("list")

    assert (said.code, said.error) == (code, f"{told}\n")


def test_without_kubectl_a_sentence_says_so(kubectl_order: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    said = kubectl_order("list")

    assert (said.code, "no kubectl on PATH" in said.error) == (1, True)


def test_what_the_cluster_says_cannot_command_the_terminal(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.orders["b4"]["status"]["message"] = "harmless\x1b[2J\x1b]0;owned\x07"
    fake.write()

    said = kubectl_order("why b4").text + kubectl_order("list -A").text + kubectl_order("track b4").text

    assert "harmless" in said
    assert "\x1b" not in said


def test_an_inbox_asks_once_for_all_namespaces(kubectl_order: Ask, fake: FakeCluster) -> None:
    kubectl_order("inbox -A")

    (asked,) = fake.calls("create --validate=false")
    assert [json.loads(each)["kind"] for each in asked["text"].splitlines()] == [
        "SelfSubjectReview",
        *["SelfSubjectAccessReview"] * 2,
    ]


def test_an_inbox_leaves_out_what_four_eyes_forbid(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.me = "ana@example.com"
    fake.write()

    names = kubectl_order("inbox -A -o name").out

    assert "order-1500" in names  # her own, of a class without four eyes
    assert "o-4eyes" not in names


def test_an_audit_as_csv_can_be_read_by_a_spreadsheet(kubectl_order: Ask) -> None:
    lines = kubectl_order("audit o-0991 -o csv").out.splitlines()

    assert lines[0] == "time,who,via,what,detail"
    assert any(line.endswith("Order Failed; 250.00 USD refunded") for line in lines)


@pytest.mark.parametrize("command", ["list -n shop", "track o-0991 -n shop", "track o-0991 -w", "list --waiting"])
def test_a_call_that_is_begun_early_is_made_once(kubectl_order: Ask, fake: FakeCluster, command: str) -> None:
    assert kubectl_order(command).code == 0
    assert len(fake.calls("get")) == 1


def test_a_locale_without_utf_8_is_given_ascii(kubectl_order: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")

    assert kubectl_order("track o-0991").out.isascii()


def test_colours_are_for_terminals_alone(kubectl_order: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")

    assert "\x1b[" not in kubectl_order("list -A").out


@pytest.mark.parametrize("command", ["list -A --customer C", "track o-0991", "why o-0991", "inbox -A", "audit o-0991"])
def test_a_reading_command_imports_nothing_that_takes_long(fake: FakeCluster, command: str) -> None:
    look = "import sys; from order_cli.main import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", look, *command.split()],
        env={**os.environ, **fake.environment()},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout
    assert {"pydantic", "rich"} & set(done.stderr.split()) == set()


def test_no_command_needs_a_package_that_is_not_of_python_alone() -> None:
    """The program that krew installs is one file, and has none."""
    command = typer.main.get_command(application(*COMMANDS))
    take_texts_as_given(command)
    parameters = [each for one in command.commands.values() for each in one.params]  # type: ignore[attr-defined]

    assert {type(each._runtime_param) for each in parameters} == {AsGiven, AsNumber, AsWord}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("approve a --yes --timeout soon", "'soon' is not a number"),
        ("approve a --yes --expect 1.5", "'1.5' is not a whole number"),
        ("wait a --for lunch", "'lunch' is none of finished, complete, waiting"),
        ("ui --port 70000", "70000 is not from 1 to 65535"),
    ],
)
def test_what_is_no_number_is_refused(kubectl_order: Ask, command: str, told: str) -> None:
    said = kubectl_order(command)

    assert (said.code, told in said.error) == (2, True), said


def test_the_pages_of_an_order_are_that_of_the_console_and_that_of_its_workflow(
    kubectl_order: Ask, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.orders["order-1500"]["status"]["workflow"]["url"] = "https://temporal.example.com/order-1500"
    fake.write()
    assert kubectl_order("open order-1500 -n shop").out == "https://temporal.example.com/order-1500\n"

    monkeypatch.setenv("ORDER_CONSOLE_URL", "https://orders.example.com/")

    assert kubectl_order("open order-1500 -n shop --print").out.splitlines() == [
        "https://orders.example.com/orders/shop/order-1500",
        "https://temporal.example.com/order-1500",
    ]


def test_the_chart_tells_where_console_and_grafana_are(kubectl_order: Ask, fake: FakeCluster) -> None:
    addresses = {"console": "https://orders.example.com/", "grafana": "https://grafana.example.com"}
    fake.answer("^get configmaps order-platform-addresses .*--namespace=order-platform$", out={"data": addresses})

    console, _, grafana = kubectl_order("open order-1500 -n shop").out.splitlines()

    assert console == "https://orders.example.com/orders/shop/order-1500"
    assert grafana == "https://grafana.example.com/d/order-platform-orders?var-order_namespace=shop"


def test_an_address_is_one_line_without_control_characters(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^get configmaps", out={"data": {"console": "https://a.example/\x1b]0;owned\x07\n"}})

    assert "\x1b" not in kubectl_order("open order-1500 -n shop").out


def test_no_credentials_go_to_an_address_that_the_cluster_tells(kubectl_order: Ask, fake: FakeCluster) -> None:
    """Whoever may edit the ConfigMap would be given the token of everybody who reads a trail."""
    fake.answer("^get configmaps", out={"data": {"console": "https://evil.example"}})

    said = kubectl_order("audit order-1500 -n shop --ledger")

    assert (said.code, "where is the console?" in said.error) == (2, True)
    assert not [call for call in fake.calls() if "evil" in call["call"]]


@pytest.mark.parametrize("name", ["--all", "-A", "''", "shop/--all"])
def test_a_name_is_never_a_flag_of_kubectl(kubectl_order: Ask, fake: FakeCluster, name: str) -> None:
    """`kubectl order get -- --all` asked for all orders."""
    said = kubectl_order(f"why -- {name}")

    assert (said.code, "is no name of an order" in said.error) == (2, True)
    assert fake.calls() == []


def test_events_that_were_shown_are_not_shown_again_when_a_watch_begins_anew() -> None:
    shown: dict[str, str] = {}
    event = {"metadata": {"uid": "a", "resourceVersion": "1"}}
    again = {"metadata": {"uid": "a", "resourceVersion": "2"}}

    assert [events._is_new(shown, "ADDED", each) for each in (event, event, again)] == [True, False, True]
    assert not events._is_new(shown, "DELETED", again)
    assert shown == {}
