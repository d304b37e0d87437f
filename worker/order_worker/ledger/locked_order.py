"""The row of one order, locked: what every transaction about an order begins with."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from order_domain.errors import PermanentError
from order_domain.status import OrderStatus
from order_worker.ledger.tables import orders
from order_workflows.contract import ResourceIdentity


@dataclass
class LockedOrder:
    """One order, which nobody else changes until the transaction ends."""

    identity: ResourceIdentity
    status: str
    total_minor: int
    last_seq: int
    last_hash: str
    """The end of the audit chain; `audit.append` moves it on."""
    last_keyed_seq: int | None = None
    """The last event that was sealed with a key; below `last_seq`, the end of the chain is not."""
    audit_salt: str | None = None
    """Of the commitments in this order's events; None until there is one."""

    @property
    def halted(self) -> bool:
        """Whether nothing goes forward any more: it is being undone by another run of its workflow, or has ended."""
        status = OrderStatus(self.status)
        return status is OrderStatus.COMPENSATE_ORDER or status.terminal


_LOCK = (
    select(
        orders.c.status,
        orders.c.total_minor,
        orders.c.last_seq,
        orders.c.last_hash,
        orders.c.last_keyed_seq,
        orders.c.audit_salt,
    )
    .where(orders.c.uid == bindparam("order"))
    .with_for_update()
)


def lock_if_received(tx: Connection, identity: ResourceIdentity) -> LockedOrder | None:
    """Let no other operation of this order in until the transaction ends; None if the ledger never received it."""
    row = tx.execute(_LOCK, {"order": identity.uid}).one_or_none()
    return None if row is None else LockedOrder(identity, *row)


def lock(tx: Connection, identity: ResourceIdentity) -> LockedOrder:
    """The same for an order that must be there. Raises PermanentError if the ledger never received it."""
    order = lock_if_received(tx, identity)
    if order is None:
        raise PermanentError(f"the ledger never received order {identity.uid}")
    return order
