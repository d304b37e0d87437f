"""An API server in memory, as far as the console asks one: orders, rights by user, a watch."""

import asyncio
import copy
import itertools
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from order_console.api_server import ApiError

ORDERS = re.compile(r"^/apis/order-platform\.dev/v1alpha1(?:/namespaces/([^/]+))?/orders(?:/([^/]+))?$")


class FakeCluster:
    """What all callers see."""

    def __init__(self) -> None:
        self.orders: dict[tuple[str, str], dict[str, Any]] = {}
        self.classes: dict[str, dict[str, Any]] = {}
        self.may_make_classes = {"maria"}
        """And articles."""
        self.rights: dict[str, set[tuple[str, str | None]]] = {}
        """User -> verbs on orders with their namespace; None: in all."""
        self.refuses: ApiError | None = None
        """What every write is answered with."""
        self.sent: list[tuple[str, str, str, Any]] = []
        """Writes: user, method, path, body."""
        self._versions = itertools.count(1)
        self._watches: list[asyncio.Queue[tuple[str, dict[str, Any]]]] = []

    def allow(self, user: str, *verbs: str, namespace: str | None = None) -> None:
        self.rights.setdefault(user, set()).update((verb, namespace) for verb in verbs)

    def may(self, user: str, verb: str, namespace: str | None) -> bool:
        held = self.rights.get(user, set())
        return (verb, None) in held or (verb, namespace) in held

    def put(self, order: Mapping[str, Any]) -> dict[str, Any]:
        stored = copy.deepcopy(dict(order))
        key = (stored["metadata"]["namespace"], stored["metadata"]["name"])
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        kind = "MODIFIED" if key in self.orders else "ADDED"
        self.orders[key] = stored
        self._tell(kind, stored)
        return stored

    def drop(self, namespace: str, name: str) -> None:
        self._tell("DELETED", self.orders.pop((namespace, name)))

    def _tell(self, kind: str, order: dict[str, Any]) -> None:
        for watch in self._watches:
            watch.put_nowait((kind, copy.deepcopy(order)))

    def as_user(self, name: str) -> "FakeApi":
        return FakeApi(self, name)


def _merged(before: Any, patch: Any) -> Any:
    """A merge patch."""
    if not isinstance(patch, Mapping) or not isinstance(before, Mapping):
        return patch
    kept = {key: value for key, value in before.items() if key not in patch}
    return kept | {key: _merged(before.get(key), value) for key, value in patch.items() if value is not None}


class FakeApi:
    """The same, with the rights of one user. Stands in for `order_console.api_server.ApiServer`."""

    def __init__(self, cluster: FakeCluster, user: str) -> None:
        self._cluster = cluster
        self._user = user

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",  # noqa: ARG002 - as the real one
    ) -> dict[str, Any]:
        cluster = self._cluster
        if method != "GET" and "reviews" not in path:
            cluster.sent.append((self._user, method, path, body))
        if cluster.refuses is not None and method != "GET" and "reviews" not in path:
            raise cluster.refuses
        if path.endswith("selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            allowed = cluster.may(self._user, asked["verb"], asked.get("namespace"))
            return {"status": {"allowed": allowed}}
        if path.endswith(("orderclasses", "stockitems")) and method == "POST":
            if self._user not in cluster.may_make_classes:
                raise ApiError(403, f"{self._user} cannot create {path.rsplit('/', 1)[1]}")
            if path.endswith("orderclasses"):
                cluster.classes[body["metadata"]["name"]] = dict(body)
            return dict(body)
        if path.endswith("orderclasses"):
            return {"items": list(cluster.classes.values())}
        if path.endswith("stockitems"):
            return {"items": [{"spec": {"sku": "PROD-001"}, "status": {"onHand": 7}}]}
        found = ORDERS.match(path)
        assert found, path
        return self._orders(method, found[1], found[2], body, query or {})

    def _orders(
        self, method: str, namespace: str | None, name: str | None, body: Any, query: Mapping[str, str]
    ) -> dict[str, Any]:
        cluster = self._cluster
        verb = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch"}[method]
        if not cluster.may(self._user, verb, namespace):
            raise ApiError(403, f"{self._user} cannot {verb} orders")
        if method == "POST":
            created = {**body, "metadata": {**body["metadata"], "namespace": namespace, "uid": "new", "generation": 1}}
            if (str(namespace), body["metadata"].get("name")) in cluster.orders:
                raise ApiError(409, f"order {body['metadata']['name']} already exists")
            return created if query.get("dryRun") else cluster.put(created)
        if name is None:
            orders = [order for (where, _), order in cluster.orders.items() if namespace in {None, where}]
            return {"items": copy.deepcopy(orders), "metadata": {"resourceVersion": "0"}}
        order = cluster.orders.get((str(namespace), name))
        if order is None:
            raise ApiError(404, f"order {name} not found")
        if method == "PATCH":
            if body["metadata"]["resourceVersion"] != order["metadata"]["resourceVersion"]:
                raise ApiError(409, "the order changed meanwhile")
            metadata = {**order["metadata"], "generation": order["metadata"]["generation"] + 1}
            order = cluster.put({**order, "metadata": metadata, "spec": _merged(order["spec"], body["spec"])})
        return copy.deepcopy(order)

    async def watch(self, *_: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self._cluster._watches.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._cluster._watches.remove(queue)
