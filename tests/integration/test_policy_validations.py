"""What each validation of the admission policies keeps out: without it, with all others, its cases end otherwise."""

import copy
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from access import MERGE, ROOT, Answer, APIServer, Caller
from ordering_rights import (
    APPROVER,
    CANCELLER,
    CLERK,
    FOUR_EYES,
    LEAD,
    MANAGER,
    STANDARD,
    UNGATED,
    Shop,
    bind,
    order,
    role,
    spec,
)

TEMPLATES = Path(__file__).resolve().parents[2] / "charts/order-platform-crds/templates/policies"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PATIENCE_SECONDS = 60.0

NEWCOMER = Caller("newcomer")
"""May create orders, and use no class."""
MEDDLER = Caller("meddler")
"""May write statuses, as RBAC sees it."""

WAITING, OF_TWO, EDITED, RESTORED = "waiting", "four-eyes", "edited", "restored"
"""The orders of a shop: one of nobody's, of class standard; one of the manager's with four eyes; another of those,
which the lead edited; and one that a backup brought back with its decision."""


def patch(me: Caller, name: str, **changes: Any) -> Callable[[Shop], Answer]:
    return lambda shop: shop.server.send(me, "PATCH", shop.path(name), changes, content=MERGE, dry_run=True)


def create(me: Caller, body: Mapping[str, Any], **metadata: Any) -> Callable[[Shop], Answer]:
    return lambda shop: shop.server.send(me, "POST", shop.path(), order("tried", body, **metadata), dry_run=True)


def write_status(shop: Shop) -> Answer:
    found = {**shop.read(WAITING), "status": {"phase": "Completed"}}
    return shop.server.send(MEDDLER, "PUT", shop.path(WAITING) + "/status", found, dry_run=True)


def code(answer: Answer) -> object:
    return answer.code


def stored(field: str, name: str) -> Callable[[Answer], object]:
    """What the API server would store at `spec.<field>.<name>`."""

    def read(answer: Answer) -> object:
        found = answer.body.get("spec", {})
        return (found.get(field, {}) if name else found).get(name or field)

    return read


@dataclass(frozen=True)
class Case:
    """A request and its outcome as long as the validation `kept_by` is there."""

    kept_by: str
    ask: Callable[[Shop], Answer]
    wanted: object = 403
    outcome: Callable[[Answer], object] = code
    stamps: bool = True
    """Whether names are stamped there, as an API server from 1.36 on does."""


def decision(by: str | None = None) -> dict[str, str]:
    return {"decision": "Approved", **({"by": by} if by else {})}


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "6b1f8b2c-0000-4000-8000-000000000000"}
BOSTON = {"city": "Boston"}

CASES = {
    "a clerk orders by a class that asks nobody": Case("use-class", create(CLERK, spec(UNGATED))),
    "a clerk orders by a class that asks nobody, under a name of the server's": Case(
        "use-class",
        lambda shop: shop.server.send(
            CLERK,
            "POST",
            shop.path(),
            {**order("", spec(UNGATED)), "metadata": {"generateName": "order-"}},
            dry_run=True,
        ),
    ),
    "somebody without a class orders by the default one": Case("use-default-class", create(NEWCOMER, spec(None))),
    "an approver suspends an order": Case("decides-only", patch(APPROVER, WAITING, spec={"suspend": True})),
    "an approver changes the address while approving": Case(
        "decides-only", patch(APPROVER, WAITING, spec={"approval": decision("approver"), "suspend": True})
    ),
    "an approver labels an order": Case(
        "decides-only-metadata", patch(APPROVER, WAITING, metadata={"labels": {"team": "blue"}})
    ),
    "a clerk gives an order an owner, to delete that": Case(
        "owners", patch(CLERK, WAITING, metadata={"ownerReferences": [OWNER]})
    ),
    "a clerk creates an order with an owner": Case("owners", create(CLERK, spec(), ownerReferences=[OWNER])),
    "a canceller gives an order an owner": Case(
        "decides-only-metadata", patch(CANCELLER, WAITING, metadata={"ownerReferences": [OWNER]})
    ),
    "a clerk holds an order by the operator's finalizer": Case(
        "own-finalizers", patch(CLERK, WAITING, metadata={"finalizers": ["order-platform.dev/compensation"]})
    ),
    "a clerk creates an order with the operator's finalizer": Case(
        "own-finalizers", create(CLERK, spec(), finalizers=["order-platform.dev/compensation"])
    ),
    "a clerk approves": Case("decide", patch(CLERK, WAITING, spec={"approval": decision("clerk")})),
    "a clerk orders and approves in one manifest": Case("decide", create(CLERK, spec(approval=decision("clerk")))),
    "an approver approves as the-ceo": Case(
        "decider-is-caller", patch(APPROVER, WAITING, spec={"approval": decision("the-ceo")})
    ),
    "a clerk cancels": Case("cancel", patch(CLERK, WAITING, spec={"cancellation": {}})),
    "a canceller cancels as the-ceo": Case(
        "canceller-is-caller", patch(CANCELLER, WAITING, spec={"cancellation": {"by": "the-ceo"}})
    ),
    "a clerk tries an order again": Case("retry", patch(CLERK, WAITING, spec={"retry": 1})),
    "a clerk takes over another installation's workflow": Case(
        "adopt", create(CLERK, spec(adoptFrom="another-cluster"))
    ),
    "a clerk orders as the-ceo": Case("requester-is-caller", create(CLERK, spec(requestedBy="the-ceo"))),
    "a clerk says that they ordered what has no requester": Case(
        "requester-stays", patch(CLERK, WAITING, spec={"requestedBy": "clerk"})
    ),
    "a clerk edits as the-ceo": Case(
        "editor-is-caller", patch(CLERK, WAITING, spec={"shippingAddress": BOSTON, "editedBy": "the-ceo"})
    ),
    "a lead puts another name over their own edit": Case(
        "editor-is-caller", patch(LEAD, EDITED, spec={"editedBy": "clerk"})
    ),
    "somebody orders with four eyes and gives no name": Case("requester-is-named", create(CLERK, spec(FOUR_EYES))),
    "a lead orders with four eyes and approves at once": Case(
        "no-decision-at-creation", create(LEAD, spec(FOUR_EYES, requestedBy="lead", approval=decision("lead")))
    ),
    "a clerk edits with four eyes and gives no name": Case(
        "editor-is-named", patch(CLERK, OF_TWO, spec={"shippingAddress": BOSTON}), stamps=False
    ),
    "a manager approves their own order": Case(
        "not-the-requester", patch(MANAGER, OF_TWO, spec={"approval": decision("manager")})
    ),
    "a lead approves what they edited": Case(
        "not-the-editor", patch(LEAD, EDITED, spec={"approval": decision("lead")})
    ),
    "a lead edits and approves at once": Case(
        "not-the-editor",
        patch(LEAD, OF_TWO, spec={"shippingAddress": BOSTON, "editedBy": "lead", "approval": decision("lead")}),
    ),
    "a clerk takes the label off that says that a backup brought the decision": Case(
        "restored-stays", patch(CLERK, RESTORED, metadata={"labels": {"velero.io/restore-name": None}})
    ),
    "somebody with the right to write statuses writes one": Case("status", write_status),
    "an approver approves without giving a name": Case(
        "stamp-decider", patch(APPROVER, WAITING, spec={"approval": decision()}), "approver", stored("approval", "by")
    ),
    "a canceller cancels without giving a name": Case(
        "stamp-canceller",
        patch(CANCELLER, WAITING, spec={"cancellation": {"reason": "wrong"}}),
        "canceller",
        stored("cancellation", "by"),
    ),
    "a clerk edits what another one had edited": Case(
        "stamp-editor", patch(CLERK, EDITED, spec={"shippingAddress": BOSTON}), "clerk", stored("editedBy", "")
    ),
}


@dataclass(frozen=True)
class Validation:
    """One validation, or mutation, of a policy, by the name that its comment in the chart gives it."""

    policy: str
    name: str
    index: int


def validations() -> Iterator[Validation]:
    """All that there are: each begins with a comment that is its name."""
    for path in sorted(TEMPLATES.glob("*.yaml")):
        text = path.read_text()
        policy = re.search(r"^metadata:\n  name: (\S+)", text, re.MULTILINE)
        assert policy, path
        named = re.findall(r"^    # ([a-z-]+)\n    - (?:expression|patchType):", text, re.MULTILINE)
        every = re.findall(r"^    - (?:expression|patchType):", text, re.MULTILINE)
        assert len(named) == len(every), f"{path}: each validation needs a line above it that is its name"
        for index, name in enumerate(named):
            yield Validation(policy[1], name, index)


ALL = {each.name: each for each in validations()}
MUTATING = "order-platform-stamps"


def test_every_validation_has_a_case_and_every_case_its_validation() -> None:
    assert {case.kept_by for case in CASES.values()} == set(ALL)
    assert len(ALL) == len(list(validations()))


@pytest.fixture(scope="module")
def server(api_server: APIServer) -> APIServer:
    for caller, rule in {
        NEWCOMER: {"resources": ["orders"], "verbs": ["create"]},
        MEDDLER: {"resources": ["orders/status"], "verbs": ["update"]},
    }.items():
        rules = [{"apiGroups": ["order-platform.dev"], **rule}]
        role(api_server, caller.name, rules)
        bind(api_server, caller.name, caller)
    return api_server


_OURS = {"laboratory": "yes"}


class Laboratory:
    """Shops, each with a choice of the policies: the bindings go by labels of the namespace."""

    def __init__(self, server: APIServer) -> None:
        self._server = server
        self._policies: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
        for kind in ("validating", "mutating"):
            plural = f"{kind}admissionpolicies"
            for policy in server.must(ROOT, "GET", f"{ADMISSION}/{plural}")["items"]:
                name = policy["metadata"]["name"]
                if name in {each.policy for each in ALL.values()}:
                    bound = server.must(ROOT, "GET", f"{ADMISSION}/{kind}admissionpolicybindings/{name}")
                    self._policies[name] = (kind, policy, bound)
        for name in self._policies:
            present = {"matchLabels": {name: "complete"}}
            self._bind(name, name, f"laboratory-{name}", present)

    def shop(self, without: Validation | None = None, *, stamps: bool = True) -> Shop:
        """A shop with every policy, less one validation, and stamping names or not."""
        present = {name for name in self._policies if stamps or name != MUTATING}
        labels = dict.fromkeys(present, "complete")
        suffix = "complete" if without is None else without.name
        namespace = f"lab-{suffix}{'' if stamps else '-unstamped'}"
        if without is not None:
            labels[without.policy] = namespace
            self._take_out(without, namespace)
        shop = Shop(self._server, namespace, labels)
        shop.place(WAITING, STANDARD, requestedBy=None)
        shop.show(WAITING)
        shop.place(OF_TWO, FOUR_EYES)
        shop.show(OF_TWO)
        shop.place(EDITED, FOUR_EYES, edited_by=LEAD.name)
        shop.show(EDITED, seen=2)
        decided = {"decision": "Approved", "by": "director"}
        shop.place(RESTORED, STANDARD, labels={"velero.io/restore-name": "today"}, approval=decided)
        return shop

    def clear(self) -> None:
        """Take away every policy and binding that was made here."""
        for kind, part in itertools.product(("validating", "mutating"), ("bindings", "policies")):
            plural = f"{kind}admissionpolicy{part}" if part == "bindings" else f"{kind}admission{part}"
            self._server.must(ROOT, "DELETE", f"{ADMISSION}/{plural}?labelSelector=laboratory")

    def _take_out(self, validation: Validation, namespace: str) -> None:
        kind, policy, _ = self._policies[validation.policy]
        less = copy.deepcopy(policy)
        entries = less["spec"]["validations" if kind == "validating" else "mutations"]
        del entries[validation.index]
        if not entries:
            # A policy without any is refused.
            entries.append({"expression": "true"})
        name = f"{validation.policy}-{namespace}"
        body = {"metadata": {"name": name, "labels": _OURS}, "spec": less["spec"]}
        self._server.must(ROOT, "POST", f"{ADMISSION}/{kind}admissionpolicies", body)
        self._bind(validation.policy, name, name, {"matchLabels": {validation.policy: namespace}})

    def _bind(self, original: str, policy: str, name: str, selector: Mapping[str, Any]) -> None:
        kind, _, bound = self._policies[original]
        selected = {**bound["spec"], "policyName": policy, "matchResources": {"namespaceSelector": selector}}
        body = {"metadata": {"name": name, "labels": _OURS}, "spec": selected}
        self._server.must(ROOT, "POST", f"{ADMISSION}/{kind}admissionpolicybindings", body)


@pytest.fixture(scope="module")
def laboratory(server: APIServer) -> Iterator[Laboratory]:
    laboratory = Laboratory(server)
    yield laboratory
    laboratory.clear()


def _otherwise(shop: Shop, *, stamps: bool) -> dict[str, tuple[str, Answer]]:
    """The cases that do not end as wanted there, with the validation that would see to it."""
    found = {}
    for name, case in CASES.items():
        if case.stamps == stamps:
            answer = case.ask(shop)
            if case.outcome(answer) != case.wanted:
                found[name] = (case.kept_by, answer)
    return found


def _settled(shop: Shop, kept_by: set[str], *, stamps: bool) -> dict[str, tuple[str, Answer]]:
    """The same, as soon as it is only about these validations: the API server takes in new policies each second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = _otherwise(shop, stamps=stamps)
        if {name for name, _ in found.values()} == kept_by or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


@pytest.mark.parametrize("stamps", [True, False], ids=["stamping", "not stamping"])
def test_with_all_policies_every_case_ends_as_wanted(laboratory: Laboratory, stamps: bool) -> None:
    assert _settled(laboratory.shop(stamps=stamps), set(), stamps=stamps) == {}


@pytest.mark.parametrize("name", ALL)
def test_without_one_validation_its_cases_end_otherwise_and_no_others(laboratory: Laboratory, name: str) -> None:
    cases = {case: it for case, it in CASES.items() if it.kept_by == name}
    stamps = all(it.stamps for it in cases.values())
    shop = laboratory.shop(ALL[name], stamps=stamps)

    found = _settled(shop, {name}, stamps=stamps)

    assert set(found) == set(cases)
