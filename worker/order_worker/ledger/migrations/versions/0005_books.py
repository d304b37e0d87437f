"""The ledger knows what an order owes, and refuses an end that does not fit its books.

The release before this one works on this schema as well: it writes none of the new columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
oldest_code = "0004"
branch_labels = None
depends_on = None

NEW_COLUMNS = """
    cluster VARCHAR(63),
    former_order_id VARCHAR(63),
    lines JSON,
    charges JSON,
    lines_digest VARCHAR(16),
    owed_minor BIGINT CONSTRAINT ck_orders_owed CHECK (owed_minor >= 0),
    forward_only BOOLEAN
"""

SQLITE_ORDERS = f"""
CREATE TABLE orders_new (
    uid VARCHAR(64) NOT NULL,
    namespace VARCHAR(63) NOT NULL,
    name VARCHAR(253) NOT NULL,
    order_id VARCHAR(63),
    customer_id VARCHAR(63) NOT NULL,
    currency VARCHAR(3) NOT NULL,
    total_minor BIGINT NOT NULL,
    status VARCHAR(32) NOT NULL,
    message TEXT,
    last_seq INTEGER NOT NULL,
    last_hash VARCHAR(64) NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    {NEW_COLUMNS},
    CONSTRAINT pk_orders PRIMARY KEY (uid)
)
"""
OLD_COLUMNS = (
    "uid, namespace, name, order_id, customer_id, currency, total_minor, status, message, last_seq, last_hash, "
    "created_at, updated_at"
)

# As of 0004: the table of SQLite is built anew, and its trigger with it.
WRONG_WAY = """
OLD.status <> NEW.status AND NOT (
    OLD.status IN ('Order Received', 'Update Order Status', 'Compensate Order')
    AND NEW.status IN ('Order Completed', 'Order Rejected', 'Order Cancelled', 'Order Expired', 'Order Duplicate',
                       'Order Invalid', 'Order Failed')
    OR OLD.status = 'Order Received' AND NEW.status IN ('Update Order Status', 'Compensate Order')
    OR OLD.status = 'Update Order Status' AND NEW.status = 'Compensate Order'
)
"""

COMPLETED = "OLD.status <> NEW.status AND NEW.status = 'Order Completed'"
ENDED_OTHERWISE = """
OLD.status <> NEW.status AND NEW.status IN ('Order Rejected', 'Order Cancelled', 'Order Expired', 'Order Duplicate',
                                            'Order Invalid', 'Order Failed')
"""
HELD = """
EXISTS (
    SELECT 1 FROM reservations JOIN operations ON operations.operation_id = reservations.operation_id
    WHERE operations.order_uid = NEW.uid AND reservations.state = 'held'
)
"""
NOT_AS_OWED = """
NEW.owed_minor IS NOT NULL AND NEW.owed_minor <> COALESCE(
    (SELECT captured_minor - refunded_minor FROM payments WHERE payments.order_uid = NEW.uid), 0
)
"""
MONEY_KEPT = """
EXISTS (
    SELECT 1 FROM payments JOIN operations ON operations.operation_id = payments.charge_operation_id
    WHERE payments.order_uid = NEW.uid
    AND (payments.captured_minor <> payments.refunded_minor OR operations.state = 'intent')
)
"""
NOT_TOO_LATE = {
    "sqlite": "COALESCE(json_extract(cancellation.outcome, '$.tooLate'), 0) = 0",
    "postgresql": "COALESCE(cancellation.outcome ->> 'tooLate', 'false') = 'false'",
}
PARCEL_OUT = """
EXISTS (
    SELECT 1 FROM operations AS shipment
    WHERE shipment.order_uid = NEW.uid AND shipment.kind = 'ship' AND shipment.state <> 'refused'
    AND shipment.reversed_by IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM operations AS cancellation
        WHERE cancellation.operation_id = shipment.operation_id || '/cancel' AND cancellation.state = 'done'
        AND {not_too_late}
    )
)
"""
OTHER_HOLDER = """
NEW.order_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM orders
    WHERE orders.namespace = NEW.namespace AND orders.order_id = NEW.order_id
    AND (orders.cluster IS NULL) <> (NEW.cluster IS NULL)
)
"""
UNDOES = {"refund": "charge", "cancel_shipment": "shipment", "release": "reservation", "unpack": "packing"}
"""By kind, the parameter that names what is undone."""
UNDONE = {
    "sqlite": """
NEW.kind IN ('refund', 'cancel_shipment', 'release', 'unpack') AND NEW.state = 'done'
AND json_extract(NEW.params, '$.kept') IS NULL AND COALESCE(json_extract(NEW.outcome, '$.tooLate'), 0) = 0
AND (NEW.kind <> 'refund' OR json_extract(NEW.outcome, '$.refundID') IS NOT NULL)
""",
    "postgresql": """
NEW.kind IN ('refund', 'cancel_shipment', 'release', 'unpack') AND NEW.state = 'done'
AND NEW.params ->> 'kept' IS NULL AND COALESCE(NEW.outcome ->> 'tooLate', 'false') = 'false'
AND (NEW.kind <> 'refund' OR NEW.outcome ->> 'refundID' IS NOT NULL)
""",
}
"""Nothing is left of what is undone. A refund without an id gave nothing back, so that its charge still counts."""
TARGETS = {"sqlite": "json_extract(NEW.params, '$.{}')", "postgresql": "NEW.params ->> '{}'"}

LINES_FORGOTTEN = "NEW.total_minor <> OLD.total_minor AND NEW.lines_digest = OLD.lines_digest"

BOOKS = "the end does not fit the books: money, units or parcels are not as they must be"


def upgrade() -> None:
    """Add what an order owes, whose number it has, by what each operation was undone, and the guards. On PostgreSQL the
    constraint of the number stays until the indexes are there that replace it (0008 to 0010)."""
    if op.get_context().dialect.name == "sqlite":
        _rebuild_orders()
    else:
        for column in NEW_COLUMNS.strip().split(",\n"):
            op.execute(f"ALTER TABLE orders ADD COLUMN {column.strip()}")
        op.execute("ALTER TABLE orders ALTER COLUMN order_id DROP NOT NULL")
    op.execute("ALTER TABLE operations ADD COLUMN reversed_by VARCHAR(200)")
    if op.get_context().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _rebuild_orders() -> None:
    """SQLite neither drops NOT NULL nor a constraint from a table. Foreign keys to the old table would forbid to drop
    it, so that they are made to name the new one first."""
    op.execute(SQLITE_ORDERS)
    op.execute(f"INSERT INTO orders_new ({OLD_COLUMNS}) SELECT {OLD_COLUMNS} FROM orders")  # noqa: S608
    op.execute("PRAGMA writable_schema = ON")
    op.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, 'REFERENCES orders (', 'REFERENCES orders_new (') "
        "WHERE type = 'table'"
    )
    op.execute("PRAGMA writable_schema = RESET")
    op.execute("DROP TABLE orders")
    op.execute("ALTER TABLE orders_new RENAME TO orders")
    received = sa.text("status = 'Order Received'")
    op.create_index("ix_orders_open", "orders", ["uid"], sqlite_where=received)
    op.create_index("uq_orders_number", "orders", ["namespace", "order_id", "cluster"], unique=True)
    unassigned = sa.text("cluster IS NULL")
    number = ["namespace", "order_id"]
    op.create_index("uq_orders_number_unassigned", "orders", number, unique=True, sqlite_where=unassigned)


def _reverse(dialect: str) -> str:
    """Marks what an operation undid. Workers of the release before this one do not mark it themselves."""
    target = " ".join(f"WHEN '{kind}' THEN {TARGETS[dialect].format(name)}" for kind, name in UNDOES.items())
    return (
        "UPDATE operations SET reversed_by = NEW.operation_id "  # noqa: S608
        f"WHERE operation_id = CASE NEW.kind {target} END AND order_uid = NEW.order_uid "
        "AND state = 'done' AND reversed_by IS NULL;"
    )


def _guard_sqlite() -> None:
    parcel_out = PARCEL_OUT.format(not_too_late=NOT_TOO_LATE["sqlite"])
    guards = {
        "orders_status_guard": (WRONG_WAY, "this status cannot follow the present one"),
        "orders_completed_guard": (f"{COMPLETED} AND ({HELD} OR {NOT_AS_OWED})", BOOKS),
        "orders_ended_guard": (f"{ENDED_OTHERWISE} AND ({HELD} OR {MONEY_KEPT} OR {parcel_out})", BOOKS),
    }
    for name, (refused, message) in guards.items():
        op.execute(
            f"CREATE TRIGGER {name} BEFORE UPDATE OF status ON orders WHEN {refused} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
    op.execute(
        f"CREATE TRIGGER orders_number_guard BEFORE INSERT ON orders WHEN {OTHER_HOLDER} "
        "BEGIN SELECT RAISE(IGNORE); END"
    )
    op.execute(
        f"CREATE TRIGGER orders_lines_guard AFTER UPDATE OF total_minor ON orders WHEN {LINES_FORGOTTEN} "  # noqa: S608
        "BEGIN UPDATE orders SET lines = NULL, charges = NULL, lines_digest = NULL, owed_minor = NULL "
        "WHERE uid = NEW.uid; END"
    )
    for name, event in (("began", "INSERT"), ("ended", "UPDATE OF state")):
        op.execute(
            f"CREATE TRIGGER operations_{name}_reversal AFTER {event} ON operations WHEN {UNDONE['sqlite']} "
            f"BEGIN {_reverse('sqlite')} END"
        )


def _guard_postgresql() -> None:
    parcel_out = PARCEL_OUT.format(not_too_late=NOT_TOO_LATE["postgresql"])
    refuse = f"RAISE EXCEPTION '{BOOKS}' USING ERRCODE = 'check_violation';"
    _trigger(
        "orders_completed_guard",
        f"BEFORE UPDATE OF status ON orders FOR EACH ROW WHEN ({COMPLETED})",
        f"IF {HELD} OR {NOT_AS_OWED} THEN {refuse} END IF; RETURN NEW;",
    )
    _trigger(
        "orders_ended_guard",
        f"BEFORE UPDATE OF status ON orders FOR EACH ROW WHEN ({ENDED_OTHERWISE})",
        f"IF {HELD} OR {MONEY_KEPT} OR {parcel_out} THEN {refuse} END IF; RETURN NEW;",
    )
    # Two that insert the same number at once see each other: the second waits for the first to commit.
    _trigger(
        "orders_number_guard",
        "BEFORE INSERT ON orders FOR EACH ROW",
        "PERFORM pg_advisory_xact_lock(hashtextextended(NEW.namespace || '/' || NEW.order_id, 0)); "
        f"IF {OTHER_HOLDER} THEN RETURN NULL; END IF; RETURN NEW;",
    )
    _trigger(
        "orders_lines_guard",
        f"BEFORE UPDATE OF total_minor ON orders FOR EACH ROW WHEN ({LINES_FORGOTTEN})",
        "NEW.lines = NULL; NEW.charges = NULL; NEW.lines_digest = NULL; NEW.owed_minor = NULL; RETURN NEW;",
    )
    _trigger(
        "operations_reversal",
        f"AFTER INSERT OR UPDATE OF state ON operations FOR EACH ROW WHEN ({UNDONE['postgresql']})",
        f"{_reverse('postgresql')} RETURN NULL;",
    )


def _trigger(name: str, when: str, body: str) -> None:
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")
