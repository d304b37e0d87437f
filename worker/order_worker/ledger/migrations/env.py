"""Alembic's entry: runs the migrations on the connection that `schema.migrate` opened."""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script

from order_worker.ledger import schema
from order_worker.ledger.tables import metadata


def _note(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:  # noqa: ARG001 - alembic's names
    assert ctx.connection is not None
    assert isinstance(step.up_revision, Script)
    schema.note_oldest_code(ctx.connection, step.up_revision)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    on_version_apply=_note,
)
with context.begin_transaction():
    context.run_migrations()
