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
    """Of these namespaces, or of all if there are none; nothing where the API server says that the kind is gone. Raises
    ApiException."""
    for namespace in namespaces or (None,):
        token = ""
        while True:
            try:
                page: dict[str, Any] = await patience.ask(partial(_page, objects, namespace, token))
            except client.ApiException as missing:
                if missing.status != 404 or not await _kind_is_gone(objects, patience):
                    raise
                return
            for body in page["items"]:
                yield OrderResource.from_body(body)
            token = page["metadata"].get("continue", "")
            if not token:
                break


async def _kind_is_gone(objects: client.CustomObjectsApi, patience: Patience) -> bool:
    """Whether the API server itself says that it has no such kind: a 404 may be a proxy's, or of a server that has only
    begun to serve its kinds."""
    try:
        groups = await patience.ask(client.ApisApi(objects.api_client).get_api_versions)
        if all(group.name != GROUP for group in groups.groups):
            return True
        served = await patience.ask(partial(objects.get_api_resources, GROUP, VERSION))
        return all(resource.name != ORDERS for resource in served.resources)
    except (client.ApiException, ValueError, AttributeError, TypeError):  # the last ones: an answer that is no list
        return False


async def _page(objects: client.CustomObjectsApi, namespace: str | None, token: str) -> Any:
    if namespace is None:
        return await objects.list_cluster_custom_object(
            GROUP, VERSION, ORDERS, limit=PAGE_SIZE, _continue=token or None
        )
    return await objects.list_namespaced_custom_object(
        GROUP, VERSION, namespace, ORDERS, limit=PAGE_SIZE, _continue=token or None
    )
