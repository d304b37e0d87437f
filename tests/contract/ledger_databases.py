"""Databases of a PostgreSQL server that tests share: one each, as migrated as they want it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from order_devstack.postgresql import PostgreSQL
from order_worker.ledger import schema
from order_worker.ledger.connections import connect

_numbers = count(1)


def migrate(url: str) -> None:
    """To the newest schema."""
    engine = connect(url)
    schema.migrate(engine)
    engine.dispose()


@contextmanager
def own_database(server: PostgreSQL, *, template: str) -> Iterator[str]:
    """A copy of `template`, for as long as it is needed; gives its URL."""
    name = f"test-{next(_numbers)}"
    server.create(name, template=template)
    try:
        yield server.url(name)
    finally:
        server.drop(name)
