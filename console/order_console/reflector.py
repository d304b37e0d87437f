"""All orders that may be seen, kept up to date by watches, and told to the pages that are open."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from order_console.api_server import ApiError, ApiServer, Gone, orders_path
from order_console.view import OrderView

PAGE_SIZE = "500"
MAX_PAUSE_SECONDS = 10.0
"""Longest wait before the next try while the API server does not answer."""

logger = logging.getLogger(__name__)

Scope = str | None
"""A namespace, or None for all."""


class Subscription:
    """Which orders changed since they were last taken. Of what happened in between the newest state counts, so that a
    slow reader costs no memory."""

    def __init__(self) -> None:
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def tell(self, uid: str) -> None:
        """The order with this uid changed, or is gone."""
        self._changed[uid] = None
        self._news.set()

    async def taken(self) -> AsyncIterator[list[str]]:
        """The uids of what changed, as often as something does."""
        while True:
            await self._news.wait()
            self._news.clear()
            changed, self._changed = list(self._changed), {}
            yield changed


class Reflector:
    """Lists and watches with the rights of `api`."""

    def __init__(self, api: ApiServer, namespaces: Sequence[str]) -> None:
        """`namespaces`: those to watch where the orders of all may not be read."""
        self._api = api
        self._namespaces = namespaces
        self.orders: dict[str, OrderView] = {}
        """By uid."""
        self.changes = 0
        """How often `orders` changed."""
        self._by_name: dict[tuple[str, str], OrderView] = {}
        self._by_age: list[str] = []
        """The uids of `orders`, the newest first; empty until somebody asks after one came or went."""
        self._newest: tuple[int, list[OrderView]] = (-1, [])
        self._problems: dict[Scope, str] = {None: "the orders are being read for the first time"}
        self._readers: set[Subscription] = set()

    @property
    def problem(self) -> str | None:
        """Why what is shown may be old; None while the watches run."""
        return next(iter(self._problems.values()), None)

    @property
    def newest(self) -> list[OrderView]:
        """All orders, the newest first."""
        if self._newest[0] != self.changes:
            if not self._by_age:
                by_age = sorted(self.orders.values(), key=lambda order: (order.created, order.name), reverse=True)
                self._by_age = [order.uid for order in by_age]
            self._newest = (self.changes, [self.orders[uid] for uid in self._by_age])
        return self._newest[1]

    def find(self, namespace: str, name: str) -> OrderView | None:
        """The order of that name."""
        return self._by_name.get((namespace, name))

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """Told of all changes as long as it is open."""
        reader = Subscription()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def run(self) -> None:
        """Until cancelled."""
        scopes = await self._scopes()
        for scope in scopes:
            self._problems[scope] = "the orders are being read for the first time"
        if None not in scopes:
            del self._problems[None]
        async with asyncio.TaskGroup() as watches:
            for scope in scopes:
                watches.create_task(self._watch(scope))

    async def _scopes(self) -> Sequence[Scope]:
        """All namespaces at once, where they may be read."""
        failures = 0
        while True:
            try:
                await self._api.call("GET", orders_path(None), query={"limit": "1"})
            except ApiError as error:
                if error.status == 403 and self._namespaces:
                    return self._namespaces
                failures = await self._after(None, error, failures)
            else:
                return (None,)

    async def _watch(self, scope: Scope) -> None:
        failures = 0
        while True:
            try:
                version = await self._list(scope)
                self._say(scope, None)
                failures = 0
                while True:
                    version = await self._follow(scope, version)
            except Gone:
                continue
            except ApiError as error:
                failures = await self._after(scope, error, failures)

    async def _after(self, scope: Scope, error: ApiError, failures: int) -> int:
        """Pause after a failure; returns how many there were."""
        failures += 1
        self._say(scope, error.message)
        logger.warning("orders cannot be watched", extra={"error": error.message, "failures": failures})
        pause = min(MAX_PAUSE_SECONDS, 0.2 * 2**failures)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
        return failures

    async def _list(self, scope: Scope) -> str:
        found: dict[str, OrderView] = {}
        token = ""
        while True:
            page = await self._api.call("GET", orders_path(scope), query={"limit": PAGE_SIZE, "continue": token})
            found |= {order.uid: order for order in map(_lean, page["items"])}
            token = page["metadata"].get("continue", "")
            if not token:
                break
        for uid, order in list(self.orders.items()):
            if scope in {None, order.namespace} and uid not in found:
                self._drop(order)
        for order in found.values():
            known = self.orders.get(order.uid)
            if known is None or known.version != order.version:
                self._keep(order)
        return str(page["metadata"]["resourceVersion"])

    async def _follow(self, scope: Scope, version: str) -> str:
        async for kind, changed in self._api.watch(orders_path(scope), version):
            version = changed["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            order = _lean(changed)
            if kind == "DELETED":
                self._drop(order)
            else:
                self._keep(order)
        return version

    def _keep(self, order: OrderView) -> None:
        if order.uid not in self.orders:
            self._by_age.clear()
        self.orders[order.uid] = order
        self._by_name[order.namespace, order.name] = order
        self._tell(order.uid)

    def _drop(self, order: OrderView) -> None:
        self._by_age.clear()
        self.orders.pop(order.uid, None)
        named = self._by_name.get((order.namespace, order.name))
        if named is not None and named.uid == order.uid:
            del self._by_name[order.namespace, order.name]
        self._tell(order.uid)

    def _tell(self, uid: str) -> None:
        self.changes += 1
        for reader in self._readers:
            reader.tell(uid)

    def _say(self, scope: Scope, problem: str | None) -> None:
        if problem == self._problems.get(scope):
            return
        if problem is None:
            del self._problems[scope]
        else:
            self._problems[scope] = problem
        self._tell("")  # no order: the head of the page


def _lean(order: dict[str, Any]) -> OrderView:
    """Without what no page shows and what is as large as the rest: who wrote which field."""
    order["metadata"].pop("managedFields", None)
    return OrderView(order)
