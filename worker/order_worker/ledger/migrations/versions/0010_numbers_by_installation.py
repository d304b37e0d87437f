"""Two installations may have the same number.

The indexes of 0008 and 0009 hold what remains of the constraint.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
oldest_code = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the constraint; on SQLite it went with the old table."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE orders DROP CONSTRAINT uq_orders_namespace")
