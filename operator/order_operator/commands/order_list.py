"""All Orders that an installation has, for the commands."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from kubernetes.aio import client

from order_operator.cluster.api_names import GROUP, ORDERS, VERSION
from order_operator.commands.patience import Patience
from order_operator.orders.resource import OrderResource

PAGE_SIZE = 500


async def all_orders(
    objects: client.CustomObjectsApi, namespaces: Sequence[str], patience: Patience
) -> AsyncIterator[OrderResource]:
    """Of these namespaces, or of all if there are none; nothing where the kind is gone. Raises ApiException."""
    for namespace in namespaces or (None,):
        token = ""
        while True:
            try:
                page: dict[str, Any] = await patience.ask(partial(_page, objects, namespace, token))
            except client.ApiException as missing:
                if missing.status != 404:
                    raise
                return
            for body in page["items"]:
                yield OrderResource.from_body(body)
            token = page["metadata"].get("continue", "")
            if not token:
                break


async def _page(objects: client.CustomObjectsApi, namespace: str | None, token: str) -> Any:
    if namespace is None:
        return await objects.list_cluster_custom_object(
            GROUP, VERSION, ORDERS, limit=PAGE_SIZE, _continue=token or None
        )
    return await objects.list_namespaced_custom_object(
        GROUP, VERSION, namespace, ORDERS, limit=PAGE_SIZE, _continue=token or None
    )
