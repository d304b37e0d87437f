"""Other installations of this cluster whose operators watch the same namespaces. Each acts on the same orders there,
and the first one to see an order starts it: nothing happens twice, but whose class and workers it gets only chance
tells. It is told, in the log and as a metric; which of the two is wrong only a person knows."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
from kubernetes.aio import client

from order_operator import metrics
from order_operator.cluster.api_names import GROUP

OPERATOR_LABEL = f"{GROUP}/operator"
"""Of a Lease by which an operator leads: "true"."""
WATCHES_ANNOTATION = f"{GROUP}/watches"
"""Of such a Lease: the namespaces that its operator watches, divided by commas, or `*`."""
EVERYWHERE = "*"
LOOK_SECONDS = 60.0
CALL_SECONDS = 10

logger = logging.getLogger(__name__)


def watched(namespaces: Sequence[str]) -> str:
    """As the annotation has it. `namespaces`: none stands for all."""
    return ",".join(sorted(namespaces)) or EVERYWHERE


class _Seen(NamedTuple):
    version: str
    watches: str


class Neighbours:
    """Looks once a minute while this process leads."""

    def __init__(self, api: client.ApiClient, lease: str, namespaces: Sequence[str]) -> None:
        """`lease`: ours, as namespace/name. `namespaces`: those that we watch; none stands for all."""
        self._leases = client.CoordinationV1Api(api)
        self._own = lease
        self._watches = watched(namespaces)
        self._seen: dict[str, _Seen] = {}
        """By namespace/name of the Lease, as the last look found it."""
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled, or until it is plain that this operator has no right to."""
        while True:
            try:
                self._tell(await self.look())
            except client.ApiException as refused:
                if refused.status == 403:
                    metrics.NEIGHBOURS.set(0)
                    logger.info("no right to list Leases: other installations of this cluster are not looked for")
                    return
                logger.warning(_NOT_LOOKED, extra={"error": f"{refused.status} {refused.reason}"})
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as failed:
                logger.warning(_NOT_LOOKED, extra={"error": str(failed) or type(failed).__name__})
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> dict[str, str]:
        """The namespaces that are watched there as well, by the Lease of each other installation. A Lease counts that
        was renewed since the last look: one that nobody renews is left from an installation that is gone."""
        answer = await self._leases.list_lease_for_all_namespaces(
            label_selector=f"{OPERATOR_LABEL}=true", _request_timeout=CALL_SECONDS
        )
        seen = {f"{it.namespace}/{it.name}": _seen(it) for item in answer.items if (it := item.metadata) is not None}
        before, self._seen = self._seen, seen
        renewed = {name: lease for name, lease in seen.items() if name in before and before[name] != lease}
        shared = {name: _shared(self._watches, lease.watches) for name, lease in renewed.items() if name != self._own}
        return {name: where for name, where in shared.items() if where}

    def _tell(self, found: dict[str, str]) -> None:
        metrics.NEIGHBOURS.set(len(found))
        for name in found.keys() - self._told.keys():
            logger.error(
                "another installation of this cluster watches the same namespaces, so that orders there are started by "
                "either: give each release namespaces of its own (watch.namespaces), or uninstall one",
                extra={"lease": name, "namespaces": found[name]},
            )
        for name in self._told.keys() - found.keys():
            logger.info("another installation watches the same namespaces no more", extra={"lease": name})
        self._told = found


_NOT_LOOKED = "other installations of this cluster were not looked for"


def _seen(lease: client.V1ObjectMeta) -> _Seen:
    return _Seen(str(lease.resource_version), (lease.annotations or {}).get(WATCHES_ANNOTATION, ""))


def _shared(ours: str, theirs: str) -> str:
    """The namespaces of both, as `watched` writes them; empty if there are none, or if the other one does not tell."""
    if EVERYWHERE in (ours, theirs):
        return theirs if ours == EVERYWHERE else ours if theirs == EVERYWHERE else ""
    return ",".join(sorted(set(ours.split(",")) & set(theirs.split(","))))
