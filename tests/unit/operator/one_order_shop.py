"""A reconciler between an API server and a Temporal of two dictionaries, which hold one order and its run."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from builders import (
    NAME,
    NAMESPACE,
    UID,
    a_policy,
    a_snapshot,
    an_observation,
    an_order_body,
)
from kubernetes.aio import client
from temporalio.service import RPCError, RPCStatusCode

from order_operator.cluster.api import ApiRefused, Conflict, KubernetesApi, NotFound
from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, FINALIZER
from order_operator.orders import adoption, reconcile, submission, takeover
from order_operator.orders.classes import OrderClasses
from order_operator.orders.observation import Observation
from order_operator.orders.reconcile import Reconciler
from order_operator.settings import Settings
from order_operator.temporal.connection import TemporalConnection
from order_operator.temporal.scanner import Scanner
from order_workflows.contract import WORKFLOW_TYPE, OrderInput, RunKey, workflow_id

ID = workflow_id(*RunKey(NAMESPACE, NAME, UID))
OWN_WORKFLOW = {"id": ID, "namespace": "default", "taskQueue": "orders"}


class ApiServer:
    """Holds one order."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 100
        self.writes: list[str] = []
        self.conflicts = 0
        self.refusal: client.ApiException | None = None
        self.events: list[client.EventsV1Event] = []
        self.labels: dict[str, str] = {}

    def store(self, **changes: Any) -> dict[str, Any]:
        self.version += 1
        self.body = an_order_body(resourceVersion=str(self.version), **changes)
        return self.body

    def _changed(self, what: str, part: str, key: str, value: Any, seen: str) -> dict[str, Any]:
        if self.body is None:
            raise NotFound("gone")
        if self.refusal is not None:
            raise self.refusal
        if self.conflicts or seen != str(self.version):
            self.conflicts = max(0, self.conflicts - 1)
            raise Conflict("changed meanwhile")
        self.writes.append(what)
        self.version += 1
        changed = {**self.body[part], key: value} if key else value
        metadata = {**self.body["metadata"], "resourceVersion": str(self.version)}
        self.body = {**self.body, "metadata": metadata, part: changed}
        self.body["metadata"]["resourceVersion"] = str(self.version)
        return self.body

    async def get(self, *_: str) -> dict[str, Any]:
        if self.body is None:
            raise NotFound("gone")
        return self.body

    async def namespace_labels(self, _name: str) -> dict[str, str]:
        return self.labels

    async def create_event(self, _namespace: str, event: client.EventsV1Event) -> None:
        self.events.append(event)

    async def write_status(self, resource: Any, status: Mapping[str, Any]) -> dict[str, Any]:
        if self.refusal is not None:
            raise ApiRefused(f"update orders/status: {self.refusal.status} {self.refusal.reason}", self.refusal)
        return self._changed("status", "status", "", status, resource.resource_version)

    async def set_finalizer(self, resource: Any, *, present: bool) -> dict[str, Any]:
        finalizers = [FINALIZER] if present else []
        what = "finalizer on" if present else "finalizer off"
        return self._changed(what, "metadata", "finalizers", finalizers, resource.resource_version)


class Temporal:
    """Holds one run. Is the connection as well, and its client and handles."""

    def __init__(self) -> None:
        self.client = self
        self.namespace = "default"
        self.problem = None
        self.run: Observation | None = None
        self.calls: list[str] = []
        self.begun_as: list[str] = []
        """The class of each start."""

    def on_recovery(self, _callback: object) -> None:
        """Nothing is lost here."""

    def problem_of(self, _failed: RPCError) -> Any:
        raise AssertionError("Temporal does not fail here")

    def get_workflow_handle(self, _id: str, **_: Any) -> "Temporal":
        return self

    async def cancel(self, **_: Any) -> None:
        self.calls.append("cancel")
        if self.run is None or not self.run.running:
            raise RPCError("no open run", RPCStatusCode.NOT_FOUND, b"")

    async def signal(self, *_: Any, **__: Any) -> None:
        self.calls.append("signal")

    async def start_update(self, name: str, **_: Any) -> "Temporal":
        self.calls.append(name)
        return self

    async def result(self, **_: Any) -> None:
        """Every Update is accepted."""

    async def describe(self) -> Observation | None:
        self.calls.append("describe")
        return self.run

    async def start(self) -> Observation:
        self.calls.append("start")
        self.run = self.run or an_observation(workflow_id=ID, snapshot=None)
        return self.run


class Shop:
    """A reconciler between the two."""

    def __init__(self, *, paused: bool = False) -> None:
        self.api, self.temporal = ApiServer(), Temporal()
        self.leads = True
        classes = OrderClasses()
        metadata = {"name": "standard", "labels": {DEFAULT_CLASS_LABEL: "true"}}
        classes.put({"metadata": metadata, "spec": a_policy().model_dump(mode="json")})
        classes.put({"metadata": {"name": "calm"}, "spec": a_policy().model_dump(mode="json")})
        connection = cast("TemporalConnection", self.temporal)
        self.scanner = Scanner(connection)
        self.scanner.synced.set()
        settings = Settings(cluster="here", share_task_queue=True, paused=paused)
        self.orders = Reconciler(
            cast("KubernetesApi", self.api), connection, classes, self.scanner, settings, may_act=lambda: self.leads
        )

    def observe(self, run: Observation) -> None:
        self.temporal.run = run
        self.scanner.subscribers[WORKFLOW_TYPE].observed(run)

    async def look(self) -> float | None:
        return await self.orders.reconcile(UID)


def connected(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Describing and starting go to the one run."""

    async def describe(*_: Any) -> Observation | None:
        return await shop.temporal.describe()

    async def ensure_started(_client: Any, it: OrderInput, *_: Any) -> Observation:
        shop.temporal.begun_as.append(it.class_name)
        return await shop.temporal.start()

    for module in (reconcile, submission, adoption, takeover):
        monkeypatch.setattr(module, "describe", describe)
    monkeypatch.setattr(reconcile, "ensure_started", ensure_started)
    return shop


def temporal_has(monkeypatch: pytest.MonkeyPatch, *runs: Observation) -> None:
    """These runs, asked for by their ids, and no others."""
    by_id = {run.workflow_id: run for run in runs}

    async def describe(_client: object, _key: RunKey, identifier: str) -> Observation | None:
        return by_id.get(identifier)

    for module in (reconcile, adoption):
        monkeypatch.setattr(module, "describe", describe)


WAITING = a_snapshot(status="Await Approval", seq=2)


async def waiting(shop: Shop, **changes: Any) -> None:
    """An order that waits, is shown so and carries the finalizer."""
    shop.orders.intake.put(shop.api.store(spec=changes.pop("spec", None), **changes))
    shop.observe(an_observation(workflow_id=ID, snapshot=WAITING))
    await shop.look()


async def delete(shop: Shop) -> None:
    """The order, which its finalizer keeps."""
    assert shop.api.body is not None
    metadata = {**shop.api.body["metadata"], "deletionTimestamp": "2026-01-02T03:05:00Z"}
    shop.api.version += 1
    metadata["resourceVersion"] = str(shop.api.version)
    shop.api.body = {**shop.api.body, "metadata": metadata}
    shop.orders.intake.put(shop.api.body)
    await shop.look()


FIRST = RunKey(NAMESPACE, NAME, "uid-of-the-first")


def reason(status: Mapping[str, Any], condition: str) -> tuple[str, str]:
    """What a condition says, and why."""
    return next((item["status"], item["reason"]) for item in status["conditions"] if item["type"] == condition)
