"""What an error of the ledger's database means: refused for its content, given up for others, or no answer."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from order_domain.errors import LedgerRefused, LedgerUnavailable, OrderError

GIVEN_UP_FOR_OTHERS = frozenset({"40P01", "40001"})
"""Deadlock and serialization failure: the server has undone all of it, and it may well succeed at once."""

OF_A_LOST_SERVER = frozenset(
    {
        "25006",  # read-only: the primary of yesterday, after a failover
        "57P01",  # shut down by the administrator
        "57P02",  # another process of the server crashed
        "57P03",  # starting, or shutting down
        "57P04",  # the database was dropped
        "57P05",  # idle for too long
        "08000",
        "08001",
        "08003",
        "08004",
        "08006",
        "08007",
        "08P01",  # PgBouncer's word for a server that it lost
    }
)
"""The connection is of no more use. The next one may lead to another server."""

_LONGEST_REASON = 200
_LARGEST = 2**63


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of an error, None for others."""
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def meaning(error: StatementError) -> OrderError | None:
    """What to tell the step, None for a mistake in our code that is neither."""
    if isinstance(error.orig, OrderError):
        return error.orig
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error, IntegrityError | DataError) or sqlstate(error.orig) == "P0001":
        return LedgerRefused(f"the ledger refuses the content of this request: {_reason(error.orig)}")
    return LedgerUnavailable(f"the ledger does not answer: {type(error).__name__}")


def _reason(error: BaseException | None) -> str:
    """Names what refuses, never the values: they may be personal data, and this text reaches logs and histories."""
    if isinstance(error, sqlite3.Error):
        return str(error)[:_LONGEST_REASON]  # SQLite names constraint, table and column, or is a trigger's sentence
    assert isinstance(error, psycopg.Error)
    at = error.diag
    if at.constraint_name or at.column_name:
        return f"{at.constraint_name or at.column_name} of {at.table_name} ({error.sqlstate})"
    if error.sqlstate in ("23514", "P0001") and at.message_primary:
        return at.message_primary[:_LONGEST_REASON]  # a trigger's sentence
    return f"{type(error).__name__} ({error.sqlstate or 'found by the driver'})"


def storable_json(value: Any) -> str:
    """The text of a JSON column. Raises LedgerRefused for texts that PostgreSQL takes and then cannot read."""
    text = json.dumps(value)
    if "\\u0000" in text or "\\ud" in text:
        for part in _texts(value):
            _refuse_text(part)
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from (name, *_texts(part))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def refuse_unstorable(
    _connection: Connection,
    _cursor: DBAPICursor,
    _statement: str,
    parameters: Any,
    _context: ExecutionContext | None,
    executemany: bool,
) -> None:
    """Raises LedgerRefused for what one of the databases cannot store, so that both refuse the same."""
    for row in parameters if executemany else (parameters,):
        for value in row.values() if isinstance(row, dict) else row:
            if isinstance(value, str):
                _refuse_text(value)
            elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
                raise LedgerRefused("the ledger refuses the content of this request: a number beyond 64 bits")


def _refuse_text(text: str) -> None:
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise LedgerRefused("the ledger refuses the content of this request: a character that no database stores")
