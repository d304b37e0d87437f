"""One holder of an order number among the orders of unknown installations."""

from order_worker.ledger.migrations.indexes import create_index

revision = "0009"
down_revision = "0008"
oldest_code = "0004"
outside_transaction = True
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the index while workers write."""
    rows = "cluster IS NULL"
    create_index("uq_orders_number_unassigned", "orders", ["namespace", "order_id"], unique=True, rows=rows)
