"""Orders, operations, payments, stock, reservations and the audit chain."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the first schema."""
    op.create_table(
        "orders",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("order_id", sa.String(63), nullable=False),
        sa.Column("customer_id", sa.String(63), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_minor", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_orders"),
        sa.UniqueConstraint("namespace", "order_id", name="uq_orders_namespace"),
    )
    op.create_table(
        "operations",
        sa.Column("operation_id", sa.String(200), nullable=False),
        sa.Column("order_uid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("params_hash", sa.String(64)),
        sa.Column("params", sa.JSON),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("outcome", sa.JSON),
        sa.Column("error_type", sa.String(64)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("operation_id", name="pk_operations"),
        sa.ForeignKeyConstraint(["order_uid"], ["orders.uid"], name="fk_operations_order_uid"),
        sa.CheckConstraint("state IN ('intent', 'done', 'refused')", name=op.f("ck_operations_state")),
        sa.CheckConstraint("(state = 'intent') = (finished_at IS NULL)", name=op.f("ck_operations_finished")),
    )
    op.create_index("ix_operations_order_uid", "operations", ["order_uid"])
    op.create_table(
        "payments",
        sa.Column("order_uid", sa.String(64), nullable=False),
        sa.Column("charge_operation_id", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_minor", sa.BigInteger, nullable=False),
        sa.Column("captured_minor", sa.BigInteger, nullable=False),
        sa.Column("refunded_minor", sa.BigInteger, nullable=False),
        sa.Column("transaction_id", sa.String(255)),
        sa.Column("refund_id", sa.String(255)),
        sa.PrimaryKeyConstraint("order_uid", name="pk_payments"),
        sa.UniqueConstraint("charge_operation_id", name="uq_payments_charge_operation_id"),
        sa.ForeignKeyConstraint(["order_uid"], ["orders.uid"], name="fk_payments_order_uid"),
        sa.ForeignKeyConstraint(
            ["charge_operation_id"], ["operations.operation_id"], name="fk_payments_charge_operation_id"
        ),
        sa.CheckConstraint(
            "0 <= refunded_minor AND refunded_minor <= captured_minor AND captured_minor <= total_minor",
            name=op.f("ck_payments_amounts"),
        ),
    )
    op.create_table(
        "stock",
        sa.Column("sku", sa.String(63), nullable=False),
        sa.Column("initial", sa.BigInteger, nullable=False),
        sa.Column("restocked", sa.BigInteger, nullable=False),
        sa.Column("on_hand", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("sold", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
        sa.CheckConstraint("on_hand >= 0 AND reserved >= 0 AND sold >= 0", name=op.f("ck_stock_not_negative")),
        sa.CheckConstraint("on_hand + reserved + sold = initial + restocked", name=op.f("ck_stock_conserved")),
    )
    op.create_table(
        "reservations",
        sa.Column("operation_id", sa.String(200), nullable=False),
        sa.Column("sku", sa.String(63), nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "sku", name="pk_reservations"),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.operation_id"], name="fk_reservations_operation_id"),
        sa.ForeignKeyConstraint(["sku"], ["stock.sku"], name="fk_reservations_sku"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservations_quantity")),
        sa.CheckConstraint("state IN ('held', 'released', 'committed')", name=op.f("ck_reservations_state")),
    )
    op.create_table(
        "audit_events",
        sa.Column("order_uid", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(400), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("order_uid", "seq", name="pk_audit_events"),
        sa.ForeignKeyConstraint(["order_uid"], ["orders.uid"], name="fk_audit_events_order_uid"),
    )
