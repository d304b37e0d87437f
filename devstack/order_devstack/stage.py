"""A scenario under way: what can be seen of its orders, and what a person does to them and to the worker."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from order_devstack import live_orders
from order_devstack.conditions import condition
from order_devstack.errors import DevstackError
from order_devstack.live_orders import ORDERS, Screen
from order_devstack.secured_temporal import Credentials
from order_devstack.stack import Stack
from order_domain.pipeline import StepName

STOCK_ITEMS = "stockitems.order-platform.dev"
WORKER = "worker"


class Stage:
    """One namespace of a running stack, with the objects of one manifest.

    Whoever touched the worker calls `restore` in the end, however it ends.
    """

    def __init__(
        self, stack: Stack, namespace: str, documents: Sequence[dict[str, Any]], screen: Screen, patience_seconds: float
    ) -> None:
        self.stack = stack
        self.namespace = namespace
        self.orders: dict[str, Any] = {}
        """As they were at the last look."""
        self.seen: dict[str, list[str]] = {}
        """Every `orderStatus` that an order was seen at, in order."""
        self._documents = {document["metadata"]["name"]: document for document in documents}
        self._screen = screen
        self._patience = patience_seconds
        self._worker_touched = False
        self._key_away = False

    # What can be seen

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look at the orders until `holds`; raises DevstackError, with `what` was waited for, after the scenario's
        patience."""
        deadline = time.monotonic() + self._patience
        while True:
            self._look()
            if holds():
                return
            if time.monotonic() > deadline:
                shown = json.dumps({name: live_orders.status_of(order) for name, order in self.orders.items()})
                raise DevstackError(
                    f"waited {self._patience:.0f} s in vain: {what}; the orders of {self.namespace} are {shown}; "
                    f"see {self.stack.root / 'log'}."
                )
            time.sleep(live_orders.POLL_SECONDS)

    def status(self, order: str) -> dict[str, Any]:
        """At the last look; empty if there was none."""
        return live_orders.status_of(self.orders.get(order, {}))

    def until_phase(self, order: str, phase: str) -> None:
        """Until the order is in `phase`."""
        self.until(lambda: self.status(order).get("phase") == phase, f"{order} is {phase}")

    def until_status(self, order: str, status: str) -> None:
        """Until the order is at `status`."""
        self.until(lambda: self.status(order).get("orderStatus") == status, f"{order} is at {status}")

    def until_condition(self, order: str, kind: str, status: str, reason: str | None = None) -> None:
        """Until a condition has this status, and this reason where one is given."""

        def holds() -> bool:
            found = condition(self.status(order), kind)
            return found.get("status") == status and reason in (None, found["reason"])

        self.until(holds, f"{kind} of {order} is {status} {reason or ''}".rstrip())

    def until_finished(self) -> None:
        """Until every order has ended."""
        self.until(lambda: all(map(live_orders.is_finished, self.orders.values())), "every order has ended")

    def until_found(self, order_status: str) -> None:
        """Until Temporal finds an order of this namespace by its search attribute."""
        query = f"OrderStatus = '{order_status}' AND WorkflowId STARTS_WITH 'order/{self.namespace}/'"

        def found() -> bool:
            return bool(json.loads(self.stack.temporal("workflow", "list", "--query", query, "--output=json")))

        self.until(found, f"Temporal finds an order by {query}")
        self._screen.say(f'$ temporal workflow list --query "{query}"   finds it')

    def until_on_hand(self, item: str, pieces: int) -> None:
        """Until so many pieces of a StockItem are free."""
        command = ("get", STOCK_ITEMS, item, "--namespace", self.namespace, "--output=jsonpath={.status.onHand}")
        self.until(lambda: self.stack.kubectl(*command) == str(pieces), f"{pieces} {item} are on hand")
        self.say(f"  {item:14} {pieces} on hand")

    def say(self, text: str) -> None:
        """Tell what happens."""
        self._screen.say(text)

    def _look(self) -> None:
        self.orders = live_orders.read(self.stack, self.namespace)
        for name, order in self.orders.items():
            status = live_orders.status_of(order).get("orderStatus")
            seen = self.seen.setdefault(name, [])
            if status is not None and seen[-1:] != [status]:
                seen.append(status)
        self._screen.show(self.orders)

    # What a person does

    def apply(self, *names: str) -> None:
        """Apply these objects of the manifest, in its order."""
        chosen = [document for name, document in self._documents.items() if name in names]
        self.stack.kubectl(
            "apply",
            "--namespace",
            self.namespace,
            "--filename=-",
            input="\n---\n".join(json.dumps(document) for document in chosen),
        )

    def patch(self, order: str, spec: dict[str, Any]) -> None:
        """Edit the order's spec."""
        body = json.dumps({"spec": spec})
        self.say(f"$ kubectl patch ord {order} --namespace {self.namespace} --type=merge --patch '{body}'")
        self.stack.kubectl("patch", ORDERS, order, "--namespace", self.namespace, "--type=merge", "--patch", body)

    def signal(self, order: str, name: str, argument: object) -> None:
        """Send a Signal to the order's workflow, past Kubernetes."""
        command = (
            *("workflow", "signal", "--workflow-id", self.status(order)["workflow"]["id"]),
            *("--name", name, "--input", json.dumps(argument)),
        )
        self.say("$ temporal " + " ".join(f"'{part}'" if part[0] in "{[" else part for part in command))
        self.stack.temporal(*command)

    # What becomes of the worker

    def kill_worker(self) -> None:
        """Without a warning."""
        self._worker_touched = True
        self.say(f"$ kill -9 {self.stack.pid(WORKER)}   the worker")
        self.stack.kill(WORKER)

    def start_worker(self) -> None:
        """Start it as it was."""
        self.say("the worker is started again")
        self._start_worker()

    def break_worker(self, step: StepName) -> None:
        """Replace the worker by one with a bug in the workflow code of `step`."""
        self._worker_touched = True
        self.say(f"the worker is replaced by one with a bug in the code of the step {step}")
        self.stack.stop(WORKER)
        self.stack.with_environment({WORKER: {"ORDER_WORKER_SIMULATE_BUG": step}}).start(WORKER)

    def mend_worker(self) -> None:
        """Replace the worker by one without the bug."""
        self.say("the worker is replaced by one without the bug")
        self.stack.stop(WORKER)
        self._start_worker()

    # What becomes of the API key for Temporal

    def take_the_key_away(self) -> None:
        """From operator and workers, and wait until they have noticed."""
        self._key_away = True
        self.say("$ rm api-key   where operator and workers have it mounted")
        log = self.stack.root / "log" / "operator.log"
        said = len(log.read_text())
        self.credentials.withdraw_key()
        self.until(lambda: "API key was taken away" in log.read_text()[said:], "the operator misses its key")
        self.until(lambda: "no API key" in self._readiness(WORKER), "the worker misses its key")
        self.say(f"  the worker at /readyz: {self._readiness(WORKER)}")

    def put_a_key_back(self) -> None:
        """Another one. Nothing is restarted."""
        self.say("$ cp the-next-api-key api-key")
        self.credentials.replace_key()
        self._key_away = False

    @property
    def credentials(self) -> Credentials:
        """Of a stack that has them."""
        assert self.stack.credentials is not None
        return self.stack.credentials

    def _readiness(self, program: str) -> str:
        try:
            with urllib.request.urlopen(f"{self.stack.addresses[f'{program}-probes']}/readyz", timeout=5) as answer:  # noqa: S310
                return str(answer.read().decode()).strip()
        except urllib.error.HTTPError as refused:
            return refused.read().decode().strip()

    def restore(self) -> None:
        """Let the worker run as it was before, if it does not, and have its key."""
        if self._key_away:
            self.put_a_key_back()
        if self._worker_touched:
            self.say("the worker is started as it was")
            self.stack.stop(WORKER)
            self._start_worker()

    def _start_worker(self) -> None:
        self.stack.start(WORKER)
        self._worker_touched = False
