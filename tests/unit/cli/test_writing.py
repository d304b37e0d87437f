"""Commands that write: what they ask first, what they write, and what they say of the answer."""

import io
import json
import sys
import threading
import time

import pytest
import typer
from recorded_cluster import Ask, FakeCluster

from order_cli import clock, flags, writing
from order_cli.main import COMMANDS, application
from order_cli.order import Order
from order_cli.pace import Pace
from order_cli.writing import PER_SECOND


class Typed(io.StringIO):
    """A terminal at which somebody has typed this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> "Typing":
    return Typing(monkeypatch)


class Typing:
    """Lets a person type."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, text: str) -> None:
        self._monkeypatch.setattr(sys, "stdin", Typed(text))


DECIDED = {"orderStatus": "Charge Customer", "phase": "Running"}


def test_an_approval_is_in_the_callers_name_about_the_amount_that_was_shown(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing
) -> None:
    fake.takes("o-4eyes", **DECIDED)
    typed("y\n")

    said = kubectl_order('approve o-4eyes -n shop --reason "known customer"')

    assert fake.patches() == {
        "o-4eyes": {
            "spec": {
                "approval": {
                    "decision": "Approved",
                    "by": "bob@example.com",
                    "totalMinor": 150500,
                    "reason": "known customer",
                }
            }
        }
    }
    assert (said.code, "Approve as bob@example.com? [y/N]" in said.error) == (0, True)
    assert "✓ approved, taken by the workflow after" in said.out


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_written_unless_the_caller_says_yes(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing, answer: str
) -> None:
    typed(answer)

    said = kubectl_order("approve o-4eyes -n shop")

    assert (said.code, fake.patches()) == (1, {})


@pytest.mark.parametrize(
    "command", ["approve o-4eyes", "reject o-4eyes", "cancel o-4eyes", "lines o-4eyes --set A=1@1"]
)
def test_where_nobody_can_be_asked_nothing_is_read_or_written(
    kubectl_order: Ask, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    said = kubectl_order(command)

    assert (said.code, "--yes" in said.error, fake.calls()) == (2, True, [])


def test_who_ordered_is_told_whom_to_ask(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.me, fake.rights = "ana@example.com", ["shop approve"]
    fake.write()

    said = kubectl_order("approve o-4eyes -n shop --yes")

    assert said.code == 6
    assert said.error.strip() == (
        "✗ ana@example.com may not approve o-4eyes: they requested it (four eyes). "
        "Ask bob@example.com or carla@example.com or group order-approvers."
    )
    assert fake.patches() == {}


def test_who_lacks_the_verb_is_told_whom_to_ask(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.rights = []
    fake.write()

    said = kubectl_order("reject o-4eyes -n shop --yes")

    assert (said.code, "takes the verb reject in shop. Ask carla@example.com" in said.error) == (6, True)


def test_a_large_order_asks_for_the_verb_that_it_needs(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.orders["o-4eyes"]["status"]["approval"]["requires"] = "approve-high"
    fake.write()

    said = kubectl_order("approve o-4eyes -n shop --yes")

    assert (said.code, "takes the verb approve-high in shop" in said.error) == (6, True)


@pytest.mark.parametrize(("reason", "code"), [("OwnOrder", 6), ("StaleDecision", 1)])
def test_a_refusal_of_the_workflow_is_said(kubectl_order: Ask, fake: FakeCluster, reason: str, code: int) -> None:
    refused = {
        "type": "SpecApplied",
        "status": "False",
        "reason": reason,
        "message": "why not",
        "observedGeneration": 2,
    }
    fake.takes("o-4eyes", conditions=[refused])

    said = kubectl_order("approve o-4eyes -n shop --yes")

    assert (said.code, said.error.strip()) == (code, f"✗ o-4eyes: refused ({reason}): why not")


def test_a_refusal_of_the_policy_is_said_in_its_own_words(kubectl_order: Ask, fake: FakeCluster) -> None:
    words = "spec.approval.by must be the name of whoever decides: bob"
    policy = "ValidatingAdmissionPolicy 'order-platform-orders' with binding 'order-platform-orders' denied request:"
    fake.answer("^patch", error=f'Error from server (Forbidden): orders "o-4eyes" is forbidden: {policy} {words}')

    said = kubectl_order("approve o-4eyes -n shop --yes")

    assert (said.code, said.error) == (6, f"✗ {words}\n")


@pytest.mark.parametrize(
    "words",
    [
        'The Order "o-4eyes" is invalid: metadata.uid: Invalid value: "a": field is immutable',
        "The request is invalid: the server rejected our request due to an error in our request",
    ],
    ids=["a merge patch", "a JSON patch"],
)
def test_an_order_that_was_deleted_and_ordered_again_since_it_was_shown_is_not_decided_about(
    kubectl_order: Ask, fake: FakeCluster, words: str
) -> None:
    """The approval went to whatever order had the name by then."""
    fake.answer("^patch", error=words)

    said = kubectl_order("approve o-4eyes -n shop --yes")

    assert (said.code, "another one has its name" in said.error) == (1, True)
    assert set(fake.patches()) == {"o-4eyes"}


def test_no_answer_of_the_workflow_is_a_time_out(kubectl_order: Ask, fake: FakeCluster) -> None:
    after = fake.takes("o-4eyes")
    after["status"]["observedGeneration"] = 1
    fake.shows("o-4eyes", after)

    said = kubectl_order("approve o-4eyes -n shop --yes --timeout 0.5")

    assert (said.code, "written, but no answer of the workflow" in said.error) == (5, True)


def test_a_dry_run_lets_the_api_server_judge_and_asks_nothing(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.takes("o-4eyes")

    said = kubectl_order("approve o-4eyes -n shop --dry-run")

    (patch,) = fake.calls("patch")
    assert "--dry-run=server" in patch["call"]
    assert (said.code, "would approve shop/o-4eyes (dry run: nothing was written)" in said.out) == (0, True)


def test_many_orders_are_approved_only_after_their_number_was_typed(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing
) -> None:
    fake.rights = ["shop approve", "outlet approve"]
    for name in ("o-4eyes", "order-1500", "o-77"):
        fake.takes(name, **DECIDED)
    typed("y\n3\n")

    said = kubectl_order("approve -A -l team=a")

    assert "3 orders, 12805.00 USD in all. Type 3 to go on:" in said.error
    assert (said.code, set(fake.patches())) == (0, {"o-4eyes", "order-1500", "o-77"})


@pytest.mark.parametrize("answers", ["y\n\n", "y\n2\n", "y\ny\n"])
def test_many_orders_are_left_alone_where_the_number_is_another(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing, answers: str
) -> None:
    fake.rights = ["shop approve", "outlet approve"]
    fake.write()
    typed(answers)

    assert (kubectl_order("approve -A -l team=a").code, fake.patches()) == (1, {})


@pytest.mark.parametrize("flags", ["--yes", "--yes --expect 2"])
def test_a_selector_without_a_person_needs_the_number_that_it_finds(
    kubectl_order: Ask, fake: FakeCluster, flags: str
) -> None:
    fake.rights = ["shop approve", "outlet approve"]
    fake.write()

    said = kubectl_order(f"approve -A -l team=a {flags}")

    assert (said.code, fake.patches()) == (2, {})


def test_many_orders_are_written_no_faster_than_five_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a while in which nobody could write, since all waited for their orders' answers."""
    now, turns = 100.0, list[float]()
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    pace = Pace(1 / PER_SECOND)
    for number in range(7):
        if number == 4:
            now += 3.0
        pace.turn()
        turns.append(round(now, 3))

    assert turns == [100.0, 100.2, 100.4, 100.6, 103.6, 103.8, 104.0]


def test_the_answers_of_many_orders_are_waited_for_at_once(
    kubectl_order: Ask, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was waited for before the next was written: fifty orders took the answers of fifty, one after the other."""
    names = [f"held-{number}" for number in range(3)]
    for name in names:
        fake.orders[name] = {**fake.orders["o-held"], "metadata": {"name": name, "generation": 1, "uid": name}}
    for name in names:
        fake.takes(name)
    together = threading.Barrier(len(names), timeout=30)

    def answer(_session: object, order: Order, _timeout: float) -> Order:
        together.wait()
        return order

    monkeypatch.setattr(writing, "_answer", answer)

    assert kubectl_order(f"resume {' '.join(names)}").code == 0
    assert set(fake.patches()) == set(names)


@pytest.mark.parametrize("reason", ["-n", "--yes", "-l", "--dry-run", "-oname"])
def test_a_reason_is_a_reason_whatever_it_looks_like(kubectl_order: Ask, fake: FakeCluster, reason: str) -> None:
    """`--reason -n shop` was read as a namespace, and the order of another one decided about."""
    fake.takes("order-1500", **DECIDED)

    assert kubectl_order(f"approve order-1500 -n shop --yes --reason {reason}").code == 0

    assert fake.patches()["order-1500"]["spec"]["approval"]["reason"] == reason


def test_every_flag_of_a_command_that_takes_a_value_is_known() -> None:
    """Before a command is read, its flags are told from those of kubectl by a list."""
    command = typer.main.get_command(application(*COMMANDS))
    options = [each for one in command.commands.values() for each in one.params]  # type: ignore[attr-defined]
    valued = {name for each in options if each.param_type_name == "option" and not each.is_flag for name in each.opts}

    assert valued == flags.OF_COMMANDS


def test_one_that_fails_keeps_no_other_from_being_done(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^patch .* o-4eyes", error="Error from server (Conflict): changed meanwhile")
    fake.takes("order-1500", **DECIDED)

    said = kubectl_order("approve shop/o-4eyes shop/order-1500 --yes")

    assert (said.code, "shop/order-1500 approved" in said.out) == (1, True)
    assert "✗ shop/o-4eyes: changed meanwhile" in said.error


def test_a_cancellation_of_a_charged_order_asks_for_its_name(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing
) -> None:
    fake.rights = ["shop cancel"]
    fake.orders["o-flaky"]["status"]["payment"] = {"capturedMinor": 25000}
    fake.takes("o-flaky", orderStatus="Compensate Order", phase="Compensating")
    typed("y\no-flaky\n")

    said = kubectl_order("cancel o-flaky -n shop --reason twice")

    assert "250.00 USD is given back" in said.out
    assert "Money goes back. Type o-flaky to go on:" in said.error
    assert fake.patches() == {"o-flaky": {"spec": {"cancellation": {"by": "bob@example.com", "reason": "twice"}}}}


def test_a_held_order_goes_on(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.takes("o-held", phase="Running", message="received, and about to be checked")

    said = kubectl_order("resume o-held -n shop")

    assert fake.patches() == {"o-held": {"spec": {"suspend": False}}}
    assert (said.code, "goes on, taken by the workflow" in said.out) == (0, True)


def test_a_retry_raises_the_counter(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.rights = ["shop retry"]
    fake.orders["o-flaky"]["status"]["phase"] = "ManualReview"
    fake.takes("o-flaky")

    assert kubectl_order("retry o-flaky -n shop").code == 0
    assert fake.patches() == {"o-flaky": {"spec": {"retry": 1}}}


def test_an_address_is_changed_where_it_is_named_and_an_empty_text_takes_a_field_away(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing
) -> None:
    fake.takes("o-4eyes")
    typed("y\n")

    said = kubectl_order('address o-4eyes -n shop --city Boston --postal-code ""')

    assert fake.patches()["o-4eyes"]["spec"] == {
        "shippingAddress": {"city": "Boston", "postalCode": None},
        "editedBy": "bob@example.com",
    }
    assert "city: Springfield → Boston" in said.out


def test_no_address_is_seen_by_who_lists_the_processes(kubectl_order: Ask, fake: FakeCluster, typed: Typing) -> None:
    fake.takes("o-4eyes")
    typed("y\n")

    kubectl_order("address o-4eyes -n shop --line1 'Secret Street 1'")

    assert not any("Secret" in call["call"] for call in fake.calls())


def test_new_lines_are_shown_with_their_total_before_anybody_is_asked(
    kubectl_order: Ask, fake: FakeCluster, typed: Typing
) -> None:
    fake.takes("order-1500")
    typed("y\n")

    said = kubectl_order("lines order-1500 -n shop --set PROD-001=1 --set PROD-003=2@5 --remove 2")

    assert (
        "shop/order-1500: 1500.00 USD → 760.00 USD; nobody has to approve it: it is not above 1000.00 USD" in said.out
    )
    test, replace, editor = fake.patches()["order-1500"]
    assert (test["op"], test["value"]) == ("test", fake.orders["order-1500"]["spec"]["lines"])
    assert [(line["lineID"], line["sku"], line["quantity"]) for line in replace["value"]] == [
        ("1", "PROD-001", 1),
        ("2", "PROD-003", 2),
    ]
    assert editor == {"op": "add", "path": "/spec/editedBy", "value": "bob@example.com"}


def test_an_order_is_made_of_flags(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^create --filename=-", out={"kind": "Order", "metadata": {"name": "new", "namespace": "shop"}})

    said = kubectl_order(
        "create new -n shop --class threshold --sku PROD-001=2@12.50 --customer C-1 --recipient 'Ana Torres' "
        "--line1 'Main Street 1' --city Springfield --country US"
    )

    spec = fake.calls("create")[0]["text"]
    assert '"unitPriceMinor": 1250' in spec
    assert '"requestedBy": "bob@example.com"' in spec
    assert (said.code, said.out) == (0, "✓ Order shop/new created\n")


def test_a_scenario_comes_with_the_program(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^create --filename=-", out={"kind": "Order", "metadata": {"name": "order", "namespace": "shop"}})

    kubectl_order("create --scenario happy-path -n shop --dry-run=server")

    needed, order = fake.calls("create")
    assert "kind: OrderClass" in needed["text"]
    assert "kind: Order\n" in order["text"]
    assert [call["call"].count("--dry-run=server") for call in (needed, order)] == [1, 1]


def test_a_scenario_is_begun_a_second_time_and_under_another_name(kubectl_order: Ask, fake: FakeCluster) -> None:
    """Its class is the cluster's, and was there from the first time on: the order was placed, and the command failed.
    The name was not looked at."""
    exists = 'Error from server (AlreadyExists): error when creating "STDIN": orderclasses "x" already exists'
    order = {"kind": "Order", "metadata": {"name": "mine", "namespace": "shop"}}
    fake.answer("^create --filename=- --namespace=shop", error=exists)
    fake.answers.insert(0, {"call": "^create --filename=-.*--output=json", "out": json.dumps(order)})
    fake.write()

    said = kubectl_order("create mine --scenario happy-path -n shop")

    assert (said.code, said.out) == (0, "✓ Order shop/mine created\n"), said
    made = fake.calls("create")
    assert ["kind: OrderClass" in each["text"] for each in made] == [True, False]
    assert "\n  name: mine\n" in made[1]["text"]


def test_a_class_that_may_not_be_made_ends_a_scenario(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^create", error='Error from server (Forbidden): orderclasses is forbidden: User "bob" cannot create')

    said = kubectl_order("create --scenario happy-path -n shop")

    assert (said.code, len(fake.calls("create"))) == (6, 1)


def test_an_order_that_was_made_is_waited_for(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.answer("^create --filename=-", out=fake.orders["o-0991"])

    said = kubectl_order("create --scenario happy-path -n shop --wait")

    assert (said.code, "o-0991 ended as Failed" in said.error) == (4, True)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("create", "an order comes from one of"),
        ("create x --sku A=1@1", "an order needs --customer, --recipient, --line1, --city, --country as well"),
        ("create --scenario nope", "no scenario is called nope"),
        ("create mine -f order.yaml", "give no NAME beside -f"),
        ("create mine --scenario decisions", "decisions has 4 orders: give no NAME"),
        ("lines o-4eyes --yes --set NEW=1", "NEW is new in this order: say its price"),
        ("lines o-4eyes --yes --remove 9", "no line is 9: there are 1 (PROD-001)"),
        ("lines o-4eyes --yes --remove 1", "an order needs a line"),
        ("approve --yes", "which orders?"),
        ("approve o-4eyes -l a=b --yes", "give names or -l, not both"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_written(
    kubectl_order: Ask, fake: FakeCluster, command: str, told: str
) -> None:
    said = kubectl_order(command)

    assert (said.code in (2, 3), told in said.error) == (True, True), said.text
    assert fake.patches() == {}


def test_an_order_that_is_named_twice_is_written_once(kubectl_order: Ask, fake: FakeCluster) -> None:
    fake.takes("o-held", phase="Running", message="received, and about to be checked")

    said = kubectl_order("resume o-held shop/o-held o-held -n shop")

    assert (said.code, len(fake.calls("patch")), said.out.count("goes on")) == (0, 1, 1)
