"""The row of one order, locked: what every transaction about an order begins with."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from order_domain.errors import PermanentError
from order_domain.status import OrderStatus
from order_worker.ledger.tables import orders
from order_workflows.contract import ResourceIdentity


@dataclass
class LockedOrder:
    """One order, which nobody else changes until the transaction ends."""

    identity: ResourceIdentity
    status: str
    currency: str
    total_minor: int
    last_seq: int
    last_hash: str
    """The end of the audit chain; `audit.append` moves it on."""
    owed_minor: int | None = None
    """What the customer pays in the end if the order completes now; None: its workflow never told."""
    lines_digest: str | None = None
    """Of the lines and charges in force; None: its workflow never told."""
    forward_only: bool = False
    """It is past its pivot."""
    last_keyed_seq: int | None = None
    """The last event that was sealed with a key; below `last_seq`, the end of the chain is not."""
    audit_salt: str | None = None
    """Of the commitments in this order's events; None until there is one."""
    created_at: datetime | None = None
    """When the ledger received it, as far as it remembers."""

    @property
    def undone(self) -> bool:
        """Whether it is halted and is being undone, or has ended other than completed."""
        status = OrderStatus(self.status)
        return status is OrderStatus.COMPENSATE_ORDER or (status.terminal and not self.completed)

    def began(self, told: datetime | None) -> datetime | None:
        """When it began, by the ledger and by what its workflow has `told`: either may have been restored from a backup
        of before."""
        return min((moment for moment in (self.created_at, told) if moment is not None), default=None)

    @property
    def completed(self) -> bool:
        """Whether it has ended as it should, in whole or in part."""
        return self.status == OrderStatus.ORDER_COMPLETED


_LOCK = (
    select(
        orders.c.status,
        orders.c.currency,
        orders.c.total_minor,
        orders.c.last_seq,
        orders.c.last_hash,
        orders.c.owed_minor,
        orders.c.lines_digest,
        func.coalesce(orders.c.forward_only, False).label("forward_only"),
        orders.c.last_keyed_seq,
        orders.c.audit_salt,
        orders.c.created_at,
    )
    .where(orders.c.uid == bindparam("order"))
    .with_for_update()
)


def lock_if_received(tx: Connection, identity: ResourceIdentity) -> LockedOrder | None:
    """Let no other operation of this order in until the transaction ends; None if the ledger never received it."""
    row = tx.execute(_LOCK, {"order": identity.uid}).one_or_none()
    return None if row is None else LockedOrder(identity, **row._asdict())


def lock(tx: Connection, identity: ResourceIdentity) -> LockedOrder:
    """The same for an order that must be there. Raises PermanentError if the ledger never received it."""
    order = lock_if_received(tx, identity)
    if order is None:
        raise PermanentError(f"the ledger never received order {identity.uid}")
    return order
