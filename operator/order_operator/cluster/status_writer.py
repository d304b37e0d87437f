"""Writes the status of a resource of any kind."""

from collections.abc import Mapping
from typing import Any, TypeVar

from order_operator.cluster.api import ApiRefused, KubernetesApi
from order_operator.cluster.events import EventRecorder, status_refused
from order_operator.cluster.resource import Resource

R = TypeVar("R", bound=Resource)


class StatusWriter:
    """A status that the API server refuses for its content is told by an event: the status itself cannot say why it
    shows what was."""

    def __init__(self, api: KubernetesApi, events: EventRecorder) -> None:
        self._api = api
        self._events = events

    async def write(self, resource: R, status: Mapping[str, Any]) -> R:
        """The resource as it is then. Raises as `KubernetesApi.write_status` does."""
        try:
            body = await self._api.write_status(resource, status)
        except ApiRefused as refused:
            if refused.for_content:
                self._events.tell(resource, status_refused(str(refused)))
            raise
        return resource.with_version(body)
