"""Which installation of the platform an order belongs to, where several share one ledger."""

from functools import partial

from sqlalchemy import Connection, bindparam, select, update

from order_worker.ledger.database import Ledger
from order_worker.ledger.tables import orders
from order_workflows.contract import ResourceIdentity

UNKNOWN = ("", "default")
"""What earlier releases gave an order, whose installations had no identity."""

AT_ONCE = 1000
"""Orders that one transaction assigns."""

_UNASSIGNED = select(orders.c.uid).where(orders.c.cluster.is_(None)).order_by(orders.c.uid).limit(AT_ONCE)
_ASSIGN = update(orders).where(orders.c.uid.in_(bindparam("uids", expanding=True)))


def of(order: ResourceIdentity) -> str | None:
    """None where it is not known. Such an order holds its number for all installations."""
    return None if order.cluster in UNKNOWN else order.cluster


async def assign(ledger: Ledger, cluster: str, namespace: str | None) -> int:
    """Let the orders of unknown installations belong to this one, all or those of a namespace; tells how many."""
    total = 0
    while assigned := await ledger.transaction(partial(_assign, cluster=cluster, namespace=namespace)):
        total += assigned
    return total


def _assign(tx: Connection, cluster: str, namespace: str | None) -> int:
    unassigned = _UNASSIGNED if namespace is None else _UNASSIGNED.where(orders.c.namespace == namespace)
    uids = list(tx.scalars(unassigned))
    if uids:
        tx.execute(_ASSIGN, {"uids": uids, "cluster": cluster})
    return len(uids)
