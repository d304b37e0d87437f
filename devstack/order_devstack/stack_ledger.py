"""The ledger of a stack: its schema, and something to sell."""

from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from order_devstack.errors import DevstackError
from order_domain.errors import LedgerUnavailable
from order_process.settings import SettingsError
from order_worker.ledger import schema, stock
from order_worker.ledger.connections import connect
from order_worker.ledger.schema import SchemaMismatch
from order_worker.settings import Settings


def prepare(worker: Mapping[str, str], pieces: Mapping[str, int]) -> None:
    """Bring the ledger of a worker with these variables to this checkout's schema, and add the articles that it does
    not have. The commands `order-worker migrate` and `ensure-stock` do the same, and take three seconds of a core to
    start. Idempotent. Raises DevstackError."""
    try:
        engine = connect(Settings.from_environment(worker).ledger_url)
        try:
            schema.migrate(engine)
            with engine.begin() as transaction:
                stock.ensure(transaction, pieces)
        finally:
            engine.dispose()
    except (SettingsError, LedgerUnavailable, SchemaMismatch, SQLAlchemyError) as failed:
        raise DevstackError(f"the ledger could not be prepared: {failed}") from failed
