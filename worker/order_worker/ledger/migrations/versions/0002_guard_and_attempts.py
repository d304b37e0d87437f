"""Orders never leave their end; every attempt of an activity is logged."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

REFUSED = """
OLD.status <> NEW.status AND NOT (
    OLD.status IN ('Order Received', 'Update Order Status')
    AND NEW.status IN ('Order Completed', 'Order Rejected', 'Order Cancelled', 'Order Expired', 'Order Duplicate',
                       'Order Invalid', 'Order Failed')
    OR OLD.status = 'Order Received' AND NEW.status = 'Update Order Status'
)
"""

# An attempt whose worker died has no row, but a later attempt of the same call has a higher number.
RETRY_SUMMARY = """
CREATE VIEW order_retry_summary AS
SELECT
    calls.order_uid,
    CAST(SUM(calls.recorded + calls.lost) AS BIGINT) AS attempts,
    CAST(SUM(calls.failures) AS BIGINT) AS failures,
    CAST(SUM(calls.lost) AS BIGINT) AS lost,
    (
        SELECT latest.error_type
        FROM activity_attempts AS latest
        WHERE latest.order_uid = calls.order_uid AND latest.error_type IS NOT NULL
        ORDER BY latest.started_at DESC, latest.id DESC
        LIMIT 1
    ) AS last_error
FROM (
    SELECT
        order_uid,
        COUNT(*) AS recorded,
        MAX(attempt) - COUNT(DISTINCT attempt) AS lost,
        SUM(CASE WHEN status IN ('failed', 'timed_out') THEN 1 ELSE 0 END) AS failures
    FROM activity_attempts
    WHERE order_uid IS NOT NULL
    GROUP BY order_uid, run_id, activity, COALESCE(operation_id, activity_id)
) AS calls
GROUP BY calls.order_uid
"""

PERFORMANCE = """
CREATE VIEW activity_performance AS
SELECT
    activity,
    COUNT(*) AS attempts,
    CAST(SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS BIGINT) AS failures,
    CAST(SUM(CASE WHEN status = 'timed_out' THEN 1 ELSE 0 END) AS BIGINT) AS timeouts,
    AVG(duration_ms) AS average_ms,
    MAX(duration_ms) AS max_ms,
    CAST(100.0 * SUM(CASE WHEN status = 'completed' THEN 1 ELSE 0 END) / COUNT(*) AS DOUBLE PRECISION)
        AS success_percent
FROM activity_attempts
GROUP BY activity
"""


def upgrade() -> None:
    """Add the guard of orders.status, the log of attempts, and its views."""
    _guard_status()
    op.create_table(
        "activity_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("order_uid", sa.String(64)),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("activity", sa.String(64), nullable=False),
        sa.Column("activity_id", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(200)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("error_type", sa.String(64)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("worker", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_activity_attempts"),
        sa.CheckConstraint(
            "status IN ('completed', 'failed', 'timed_out', 'cancelled')", name=op.f("ck_activity_attempts_status")
        ),
    )
    op.create_index("ix_activity_attempts_order_uid", "activity_attempts", ["order_uid"])
    op.execute(RETRY_SUMMARY)
    op.execute(PERFORMANCE)


def _guard_status() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER orders_status_guard BEFORE UPDATE OF status ON orders WHEN {REFUSED} "
            "BEGIN SELECT RAISE(ABORT, 'this status cannot follow the present one'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION refuse_order_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'this status cannot follow the present one' USING ERRCODE = 'check_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER orders_status_guard BEFORE UPDATE OF status ON orders FOR EACH ROW WHEN ({REFUSED}) "
        "EXECUTE FUNCTION refuse_order_status()"
    )
