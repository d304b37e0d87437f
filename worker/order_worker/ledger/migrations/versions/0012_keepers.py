"""Which workflow keeps an article."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
oldest_code = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is kept by now is kept by the one workflow that an article had."""
    op.add_column("stock", sa.Column("keeper", sa.String(200)))
    op.execute("UPDATE stock SET keeper = 'stock/' || sku WHERE minimum IS NOT NULL")
