"""Indexes on tables that already have rows, built while workers write to them."""

import sqlalchemy as sa
from alembic import op


def create_index(name: str, table: str, columns: list[str], *, unique: bool = False, rows: str | None = None) -> None:
    """For a migration with `outside_transaction = True`; may be repeated after it died half way. `rows` is the
    condition of a partial index. Raises IntegrityError where `unique` does not hold."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        half_built = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
        if connection.execute(half_built, {"name": name}).one_or_none() is not None:
            op.drop_index(name, postgresql_concurrently=True)
    where = None if rows is None else sa.text(rows)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        if_not_exists=True,
        sqlite_where=where,
        postgresql_where=where,
        postgresql_concurrently=True,
    )
