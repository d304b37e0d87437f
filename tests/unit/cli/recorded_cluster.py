"""A cluster that was recorded: orders in every state, as a real stack showed them at 14:03 UTC on 26 November 2026."""

import copy
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from order_cli.kind_checks import FIELDS, KINDS

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 26, 14, 4, 30, tzinfo=UTC)
ORDERS = "orders.order-platform.dev"
Json = dict[str, Any]


def recorded(name: str) -> Any:
    """One of the files beside this one."""
    return json.loads((HERE / "recorded" / f"{name}.json").read_text())


def recorded_orders() -> dict[str, Json]:
    """By name."""
    named = {order["metadata"]["name"]: order for order in recorded("orders")}
    for name, order in named.items():
        order["metadata"].setdefault("uid", f"uid-of-{name}")
    return named


def _about(order: str) -> list[Json]:
    return [event for event in recorded("events")["items"] if event["regarding"]["name"] == order]


def _installation() -> list[Json]:
    """What the doctor looks at."""
    kinds = [f"{name}.order-platform.dev" for name in ("orders", "orderclasses", "stockitems")]
    kinds.append("orders.acme.cert-manager.io")
    policies = [f"order-platform-{name}" for name in ("classes", "orders", "status")]
    versions = {"clientVersion": {"gitVersion": "v1.36.3"}, "serverVersion": {"gitVersion": "v1.36.3"}}
    deployments = [item for item in recorded("deployments")["items"] if item["kind"] == "Deployment"]
    (lease,) = (item for item in recorded("deployments")["items"] if item["kind"] == "Lease")
    line = {
        "time": "2026-11-26T14:03:16.100Z",
        "level": "WARNING",
        "message": "attempt failed",
        "namespace": "shop",
        "name": "o-flaky",
        "uid": "ad8c9108-09db-4539-bac8-0fe0f01f4a48",
        "activity": "charge",
        "attempt": 1,
    }
    other = {**line, "name": "another", "uid": "another"}
    pod = {"metadata": {"name": "leads", "namespace": "order-platform"}, "status": {"phase": "Running"}}
    metrics = "orders_operator_active 1.0\norders_operator_temporal_reachable 1.0"
    logs = "\n".join(f"[pod/worker/worker] {json.dumps(each)}" for each in (line, other))
    return [
        {"call": "^version", "out": json.dumps(versions)},
        {"call": "^get customresourcedefinitions.*--output=json", "out": json.dumps(_kinds())},
        {"call": "^get customresourcedefinitions", "out": "\n".join(f"crd/{kind}" for kind in kinds)},
        {"call": "^get validatingadmissionpolicybindings", "out": "\n".join(f"binding/{name}" for name in policies)},
        {"call": "^get deployments", "out": json.dumps({"items": deployments})},
        {"call": "^get pods ", "out": json.dumps({"items": [pod]})},
        {"call": "^get --raw .*/pods/leads:[0-9]+/proxy/metrics", "out": metrics},
        {"call": "^get leases", "out": json.dumps(lease)},
        {"call": "^get namespace ", "out": json.dumps({"metadata": {"labels": {}}})},
        {"call": "^get orderclasses.* threshold ", "out": json.dumps(recorded("classes")["items"][-1])},
        {"call": "^config view", "out": "shop"},
        {"call": "^logs .*worker", "out": logs},
        {"call": "^logs "},
    ]


def _kinds() -> Json:
    """Definitions of the kinds, with the fields that a doctor looks for."""
    schema: Json = {}
    for field_ in FIELDS:
        part = schema
        for name in field_.split("."):
            part = part.setdefault("properties", {}).setdefault(name, {"type": "object"})
    version = {"name": "v1alpha1", "served": True, "schema": {"openAPIV3Schema": schema}}
    status = {"conditions": [{"type": "Established", "status": "True"}]}
    kinds = [{"metadata": {"name": name}, "spec": {"versions": [version]}, "status": status} for name in KINDS]
    return {"items": kinds, **kinds[0]}


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    error: str

    @property
    def text(self) -> str:
        """All of it."""
        return self.out + self.error


Ask = Callable[[str], Said]
"""Runs `kubectl order` with these arguments, written as in a shell."""


@dataclass
class FakeCluster:
    """What the fake kubectl answers."""

    home: Path
    orders: dict[str, Json] = field(default_factory=recorded_orders)
    me: str = "bob@example.com"
    rights: Sequence[str] = ("shop approve", "shop reject")
    """Namespace and verb."""
    answers: list[Json] = field(default_factory=list)
    """Before the usual ones; the first that matches the call counts."""

    def install(self) -> None:
        """Put the program into `home`, which is to be on PATH, with the answers."""
        program = self.home / "kubectl"
        program.write_text(f"#!{sys.executable} -SEs\n{(HERE / 'fake_kubectl.py').read_text()}")
        program.chmod(0o755)
        self.write()

    def write(self) -> None:
        """The answers as they are now."""
        (self.home / "answers.json").write_text(json.dumps([*self.answers, *self._usual()]))

    def environment(self) -> dict[str, str]:
        """For whoever calls it."""
        return {
            "PATH": f"{self.home}{os.pathsep}{os.environ['PATH']}",
            "FAKE_KUBECTL": str(self.home),
            "TZ": "UTC",
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
        }

    def answer(self, call: str, out: object = "", error: str = "") -> None:
        """Of calls that match."""
        text = out if isinstance(out, str) else json.dumps(out)
        self.answers.insert(0, {"call": call, "out": text, "error": error})
        self.write()

    def shows(self, name: str, *statuses: Json) -> None:
        """A watch of the order sees it in these states, one after the other."""
        lines = [json.dumps({"type": "MODIFIED", "object": each}) for each in statuses]
        self.answers.insert(0, {"call": rf"^get {ORDERS} {name} .*--watch", "out": "\n".join(lines)})
        self.write()

    def takes(self, name: str, **status: Any) -> Json:
        """A patch of the order is taken, and the workflow answers with this status; the order as it is then."""
        patched = copy.deepcopy(self.orders[name])
        patched["metadata"]["generation"] += 1
        self.answers.insert(0, {"call": rf"^patch {ORDERS} {name} ", "out": json.dumps(patched)})
        after = copy.deepcopy(patched)
        generation = patched["metadata"]["generation"]
        after["status"] |= {"observedGeneration": generation, **status}
        applied = {"type": "SpecApplied", "status": "True", "reason": "Applied", "observedGeneration": generation}
        others = [each for each in after["status"]["conditions"] if each["type"] != "SpecApplied"]
        after["status"]["conditions"] = status.get("conditions", [*others, applied])
        self.shows(name, patched, after)
        return after

    def calls(self, beginning: str = "") -> list[Json]:
        """How kubectl was called, in order."""
        log = self.home / "calls.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [each for each in found if each["call"].startswith(beginning)]

    def patches(self) -> dict[str, Any]:
        """What was written, by the order's name: each for the order of the uid that was shown, and no other one."""
        found = {}
        for each in self.calls("patch"):
            name, patch = each["call"].split()[2], json.loads(each["text"])
            uid = self.orders[name]["metadata"]["uid"]
            if isinstance(patch, list):
                assert patch.pop(0) == {"op": "test", "path": "/metadata/uid", "value": uid}
            else:
                assert patch.pop("metadata") == {"uid": uid}
            found[name] = patch
        return found

    def _usual(self) -> list[Json]:
        watched = [
            {"call": rf"^get {ORDERS} {name} .*--watch", "out": json.dumps({"type": "ADDED", "object": order})}
            for name, order in self.orders.items()
        ]
        single = [{"call": rf"^get {ORDERS} {name} ", "out": json.dumps(order)} for name, order in self.orders.items()]
        events = [
            {"call": f"^get events.*regarding.name={name} ", "out": json.dumps({"items": [*_about(name)]})}
            for name in self.orders
        ]
        missing = rf'Error from server (NotFound): {ORDERS} "nope" not found'
        everything = {"kind": "List", "items": list(self.orders.values())}
        waiting = [each for each in self.orders.values() if each["status"]["phase"] == "Waiting"]
        return [
            *watched,
            *single,
            {"call": rf"^get {ORDERS} nope ", "error": missing},
            {"call": r"status\.phase=Waiting", "out": json.dumps({"kind": "List", "items": waiting})},
            {"call": rf"^get {ORDERS} ", "out": json.dumps(everything)},
            *_installation(),
            {"call": "^get orderclasses", "out": json.dumps(recorded("classes"))},
            {"call": "^get rolebindings.*--namespace=outlet", "out": json.dumps({"items": []})},
            {"call": "^get rolebindings", "out": json.dumps(recorded("roles"))},
            *events,
            {"call": "^get events", "out": json.dumps(recorded("events"))},
            {"call": "^auth whoami", "out": json.dumps({"status": {"userInfo": {"username": self.me}}})},
            {"call": "^create --validate=false", "rights": list(self.rights), "me": self.me},
        ]
