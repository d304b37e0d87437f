"""The ledger's tables. The database's own constraints hold the invariants, whatever the code above them does.

A change here needs a migration in `migrations/versions`; a contract test compares the two.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its time zone; SQLite forgets the zone, so that it is put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuses a moment without a zone: nobody could say which hour it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Every stored moment is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

orders = Table(
    "orders",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    # Null once the order gave its number back, or was halted before it had one.
    Column("order_id", String(63)),
    Column("customer_id", String(63), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("status", String(32), nullable=False),
    Column("message", Text),
    # The head of the audit chain: without it, rows cut off at the end would not be missed.
    Column("last_seq", Integer, nullable=False),
    Column("last_hash", String(64), nullable=False),
    # The last event that was sealed with a key, and the salt of the commitments in the events.
    Column("last_keyed_seq", Integer),
    Column("audit_salt", String(32)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # Which installation the order belongs to; null where it is not known. Such an order holds its number for all.
    Column("cluster", String(63)),
    Column("former_order_id", String(63)),
    # What is in force: lineID, sku, quantity, unitPriceMinor; chargeID, kind, amountMinor. All four are null for an
    # order whose workflow never told.
    Column("lines", JSON(none_as_null=True)),
    Column("charges", JSON(none_as_null=True)),
    Column("lines_digest", String(16)),
    Column("owed_minor", BigInteger),
    # True once the order is past its pivot.
    Column("forward_only", Boolean),
    CheckConstraint("owed_minor >= 0", name="owed"),
)

Index("uq_orders_number", orders.c.namespace, orders.c.order_id, orders.c.cluster, unique=True)
_UNASSIGNED = text("cluster IS NULL")
Index(
    "uq_orders_number_unassigned",
    orders.c.namespace,
    orders.c.order_id,
    unique=True,
    sqlite_where=_UNASSIGNED,
    postgresql_where=_UNASSIGNED,
)
"""A trigger besides skips an insert where one of two holders of a number has no cluster."""

_OPEN = text("status = 'Order Received'")
Index("ix_orders_open", orders.c.uid, sqlite_where=_OPEN, postgresql_where=_OPEN)

operations = Table(
    "operations",
    metadata,
    Column("operation_id", String(200), primary_key=True),
    Column("order_uid", ForeignKey(orders.c.uid), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    # Both are null for an operation that its undo outran: nobody knows what it would have asked for.
    Column("params_hash", String(64)),
    Column("params", JSON(none_as_null=True)),
    Column("state", String(8), nullable=False),
    Column("outcome", JSON(none_as_null=True)),
    Column("error_type", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # The operation that took this one's effect back.
    Column("reversed_by", String(200)),
    CheckConstraint("state IN ('intent', 'done', 'refused')", name="state"),
    CheckConstraint("(state = 'intent') = (finished_at IS NULL)", name="finished"),
)

_SHORTAGE = text("kind = 'reserve' AND error_type = 'OutOfStock'")
Index(
    "ix_operations_shortages",
    operations.c.order_uid,
    operations.c.created_at,
    sqlite_where=_SHORTAGE,
    postgresql_where=_SHORTAGE,
)

_OPEN_INTENT = text("state = 'intent'")
Index(
    "ix_operations_open",
    operations.c.created_at,
    sqlite_where=_OPEN_INTENT,
    postgresql_where=_OPEN_INTENT,
)

payments = Table(
    "payments",
    metadata,
    Column("order_uid", ForeignKey(orders.c.uid), primary_key=True),
    Column("charge_operation_id", ForeignKey(operations.c.operation_id), nullable=False, unique=True),
    Column("currency", String(3), nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("transaction_id", String(255)),
    Column("refund_id", String(255)),
    CheckConstraint(
        "0 <= refunded_minor AND refunded_minor <= captured_minor AND captured_minor <= total_minor",
        name="amounts",
    ),
)

stock = Table(
    "stock",
    metadata,
    Column("sku", String(63), primary_key=True),
    Column("initial", BigInteger, nullable=False),
    Column("restocked", BigInteger, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("sold", BigInteger, nullable=False),
    # Both are null for an article that is kept by no rules.
    Column("minimum", BigInteger),
    Column("target", BigInteger),
    # Id of the workflow whose rules these are; null where a release before this column made them.
    Column("keeper", String(200)),
    CheckConstraint("on_hand >= 0 AND reserved >= 0 AND sold >= 0", name="not_negative"),
    CheckConstraint("on_hand + reserved + sold = initial + restocked", name="conserved"),
    CheckConstraint("(minimum IS NULL) = (target IS NULL) AND 0 <= minimum AND minimum <= target", name="rules"),
)
"""`on_hand` counts free pieces: a reservation moves them to `reserved`, a commit moves those to `sold`."""

reservations = Table(
    "reservations",
    metadata,
    Column("operation_id", ForeignKey(operations.c.operation_id), primary_key=True),
    Column("sku", ForeignKey(stock.c.sku), primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    Column("state", String(9), nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("state IN ('held', 'released', 'committed')", name="state"),
)

supplier_orders = Table(
    "supplier_orders",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("sku", ForeignKey(stock.c.sku), nullable=False, index=True),
    Column("quantity", BigInteger, nullable=False),
    Column("state", String(9), nullable=False),
    Column("reference", String(255)),
    Column("expected_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("placed_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("state IN ('planned', 'placed', 'delivered')", name="state"),
    CheckConstraint("(state = 'planned') = (placed_at IS NULL)", name="placed"),
    CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered"),
)
"""Orders at the supplier: `planned` is the intent, and the id the supplier's idempotency key."""

_UNDELIVERED = text("state <> 'delivered'")
Index(
    "uq_supplier_orders_open",
    supplier_orders.c.sku,
    unique=True,
    sqlite_where=_UNDELIVERED,
    postgresql_where=_UNDELIVERED,
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("order_uid", ForeignKey(orders.c.uid), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", String(400), nullable=False),
    Column("data", JSON, nullable=False),
    # What erasing a customer deletes; `data` holds a commitment to it.
    Column("private", JSON(none_as_null=True)),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    # Null: sealed without a key.
    Column("key_id", String(63)),
)
"""Append-only; `verification.verify` finds a row that was changed, removed or added later."""

audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("digest", String(64), nullable=False),
)
"""Which anchors were written outside of the ledger (`anchors.py`), so that a missing one is missed."""

activity_attempts = Table(
    "activity_attempts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    # No foreign key, and null outside of an order's workflow: a duplicate has attempts but no row in `orders`.
    Column("order_uid", String(64), index=True),
    Column("workflow_id", Text, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("activity", String(64), nullable=False),
    Column("activity_id", String(64), nullable=False),
    # What the attempts of one effect share: a local activity that waits long for its next attempt changes its id.
    Column("operation_id", String(200)),
    Column("attempt", Integer, nullable=False),
    Column("status", String(9), nullable=False),
    Column("error_type", String(64)),
    Column("started_at", UtcDateTime, nullable=False),
    Column("duration_ms", Double, nullable=False),
    Column("worker", String(255), nullable=False),
    CheckConstraint("status IN ('completed', 'failed', 'timed_out', 'cancelled')", name="status"),
)
"""The log of attempts, read through the views `order_retry_summary` and `activity_performance`."""
