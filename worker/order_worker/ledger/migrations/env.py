"""Alembic's entry: runs the migrations on the connection that `schema.migrate` opened."""

from alembic import context

from order_worker.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
