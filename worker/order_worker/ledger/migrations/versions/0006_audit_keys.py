"""Seals with a key, commitments to personal data, and anchors.

Everything is new and nullable: a worker of the release before goes on inserting on this schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
oldest_code = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the audit trail needs."""
    op.add_column("orders", sa.Column("last_keyed_seq", sa.Integer))
    op.add_column("orders", sa.Column("audit_salt", sa.String(32)))
    op.add_column("audit_events", sa.Column("private", sa.JSON(none_as_null=True)))
    op.add_column("audit_events", sa.Column("key_id", sa.String(63)))
    op.create_table(
        "audit_anchors",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_anchors"),
    )
