"""An order whose workflow is gone is halted before it is undone."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REFUSED = """
OLD.status <> NEW.status AND NOT (
    OLD.status IN ('Order Received', 'Update Order Status', 'Compensate Order')
    AND NEW.status IN ('Order Completed', 'Order Rejected', 'Order Cancelled', 'Order Expired', 'Order Duplicate',
                       'Order Invalid', 'Order Failed')
    OR OLD.status = 'Order Received' AND NEW.status IN ('Update Order Status', 'Compensate Order')
    OR OLD.status = 'Update Order Status' AND NEW.status = 'Compensate Order'
)
"""


def upgrade() -> None:
    """Let the guard of orders.status pass the new way."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER orders_status_guard")
        op.execute(
            f"CREATE TRIGGER orders_status_guard BEFORE UPDATE OF status ON orders WHEN {REFUSED} "
            "BEGIN SELECT RAISE(ABORT, 'this status cannot follow the present one'); END"
        )
        return
    op.execute("DROP TRIGGER orders_status_guard ON orders")
    op.execute(
        f"CREATE TRIGGER orders_status_guard BEFORE UPDATE OF status ON orders FOR EACH ROW WHEN ({REFUSED}) "
        "EXECUTE FUNCTION refuse_order_status()"
    )
