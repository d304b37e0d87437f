"""Articles are kept between a minimum and a target: orders at the supplier, at most one open for each."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the rules of an article, the orders at its supplier, and the way to the orders that wait for it."""
    op.execute("ALTER TABLE stock ADD COLUMN minimum BIGINT")
    # As text, since SQLite adds a constraint only together with a column.
    op.execute(
        "ALTER TABLE stock ADD COLUMN target BIGINT CONSTRAINT ck_stock_rules "
        "CHECK ((minimum IS NULL) = (target IS NULL) AND 0 <= minimum AND minimum <= target)"
    )
    op.create_table(
        "supplier_orders",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("sku", sa.String(63), nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("reference", sa.String(255)),
        sa.Column("expected_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("placed_at", MOMENT),
        sa.Column("delivered_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_supplier_orders"),
        sa.ForeignKeyConstraint(["sku"], ["stock.sku"], name="fk_supplier_orders_sku"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_supplier_orders_quantity")),
        sa.CheckConstraint("state IN ('planned', 'placed', 'delivered')", name=op.f("ck_supplier_orders_state")),
        sa.CheckConstraint("(state = 'planned') = (placed_at IS NULL)", name=op.f("ck_supplier_orders_placed")),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at IS NOT NULL)", name=op.f("ck_supplier_orders_delivered")
        ),
    )
    op.create_index("ix_supplier_orders_sku", "supplier_orders", ["sku"])
    _partial_index("uq_supplier_orders_open", "supplier_orders", ["sku"], "state <> 'delivered'", unique=True)
    _partial_index("ix_orders_open", "orders", ["uid"], "status = 'Order Received'")
    _partial_index(
        "ix_operations_shortages",
        "operations",
        ["order_uid", "created_at"],
        "kind = 'reserve' AND error_type = 'OutOfStock'",
    )


def _partial_index(name: str, table: str, columns: list[str], rows: str, *, unique: bool = False) -> None:
    where = sa.text(rows)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
