"""A quick look at the operations that are open."""

from order_worker.ledger.migrations.indexes import create_index

revision = "0011"
down_revision = "0010"
oldest_code = "0004"
outside_transaction = True
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the index while workers write."""
    create_index("ix_operations_open", "operations", ["created_at"], rows="state = 'intent'")
