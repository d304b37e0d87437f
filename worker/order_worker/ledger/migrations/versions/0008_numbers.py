"""One holder of an order number for each installation."""

from order_worker.ledger.migrations.indexes import create_index

revision = "0008"
down_revision = "0007"
oldest_code = "0004"
outside_transaction = True
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the index while workers write."""
    create_index("uq_orders_number", "orders", ["namespace", "order_id", "cluster"], unique=True)
