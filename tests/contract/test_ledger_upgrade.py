"""What an earlier release wrote, on the schema of this one; and what that release still writes there."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError

from order_devstack.postgresql import PostgreSQL
from order_worker.ledger import schema
from order_worker.ledger.connections import connect

ORDER = (
    "INSERT INTO orders (uid, namespace, name, order_id, customer_id, currency, total_minor, status, last_seq, "
    "last_hash, created_at, updated_at) VALUES (:uid, 'shop', :uid, :number, 'CUST-1', 'USD', 750, 'Order Received', "
    "0, '0', '2026-11-21 00:00:00', '2026-11-21 00:00:00') ON CONFLICT DO NOTHING RETURNING uid"
)
OPERATION = (
    "INSERT INTO operations (operation_id, order_uid, kind, params, state, outcome, created_at, finished_at) VALUES "
    "(:id, 'a', :kind, :params, 'done', '{}', '2026-11-21 00:00:00', '2026-11-21 00:00:00')"
)


def migrate_to(engine: Engine, revision: str) -> None:
    config = schema._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def received(tx: Connection, uid: str, number: str = "ORDER-1") -> bool:
    """As the earlier release receives an order; False where the number is taken."""
    return tx.execute(text(ORDER), {"uid": uid, "number": number}).one_or_none() is not None


def asked(tx: Connection, operation_id: str, kind: str, params: dict[str, Any], outcome: dict[str, Any] | None) -> None:
    """As the earlier release writes an operation; None: it is open."""
    values = {"id": operation_id, "kind": kind, "params": json.dumps(params)}
    if outcome is None:
        opened = OPERATION.replace("'done', '{}'", "'intent', NULL").replace(
            "'2026-11-21 00:00:00')", "CAST(NULL AS TIMESTAMP))"
        )
        tx.execute(text(opened), values)
    else:
        tx.execute(text(OPERATION.replace("'{}'", ":outcome")), {**values, "outcome": json.dumps(outcome)})


@pytest.fixture
def upgraded(bare_url: str) -> Iterator[Engine]:
    """Order `a` was received, charged, shipped and undone; order `b` was received."""
    engine = connect(bare_url)
    migrate_to(engine, "0004")
    with engine.begin() as tx:
        received(tx, "a")
        received(tx, "b", "ORDER-2")
        for operation, kind, params, outcome in (
            ("a/charge", "charge", {}, {}),
            ("a/refund", "refund", {"charge": "a/charge"}, {"refundID": "re_1"}),
            ("a/ship/1", "ship", {}, {}),
            ("a/ship/1/cancel", "cancel_shipment", {"shipment": "a/ship/1"}, {}),
            ("a/receive", "receive", {}, {}),
        ):
            asked(tx, operation, kind, params, outcome)
    schema.migrate(engine)
    yield engine
    engine.dispose()


def test_what_was_undone_before_is_marked_as_reversed(upgraded: Engine) -> None:
    with upgraded.connect() as tx:
        rows = tx.execute(text("SELECT operation_id, reversed_by FROM operations WHERE reversed_by IS NOT NULL"))
        assert {row.operation_id: row.reversed_by for row in rows} == {
            "a/charge": "a/refund",
            "a/ship/1": "a/ship/1/cancel",
        }


def test_orders_keep_their_operations_and_numbers(upgraded: Engine) -> None:
    with upgraded.begin() as tx:
        numbers = tx.execute(text("SELECT uid, order_id, cluster, owed_minor FROM orders ORDER BY uid")).all()
        assert [tuple(row) for row in numbers] == [("a", "ORDER-1", None, None), ("b", "ORDER-2", None, None)]
    with pytest.raises(IntegrityError), upgraded.begin() as tx:
        tx.execute(text("DELETE FROM orders WHERE uid = 'a'"))


def test_the_earlier_release_still_receives_orders_and_meets_its_duplicates(upgraded: Engine) -> None:
    with upgraded.begin() as tx:
        assert received(tx, "c", "ORDER-3")
        assert not received(tx, "d", "ORDER-3")


def test_the_earlier_release_does_not_take_a_number_that_an_installation_holds(upgraded: Engine) -> None:
    with upgraded.begin() as tx:
        tx.execute(text("UPDATE orders SET cluster = 'east' WHERE uid = 'a'"))
        assert not received(tx, "c")


def test_an_order_of_the_earlier_release_still_completes_and_is_still_cancelled(upgraded: Engine) -> None:
    with upgraded.begin() as tx:
        for uid, end in (("a", "Order Cancelled"), ("b", "Order Completed")):
            assert tx.execute(
                text("UPDATE orders SET status = :end WHERE uid = :uid"), {"end": end, "uid": uid}
            ).rowcount


UNDOES = [
    ("charge", "refund", {"charge": "a/target"}, {"refundID": "re_1", "refundedMinor": 750}),
    ("ship", "cancel_shipment", {"shipment": "a/target"}, {}),
    ("reserve", "release", {"reservation": "a/target"}, {}),
    ("pack", "unpack", {"packing": "a/target"}, {}),
]


def reversed_by(tx: Connection) -> str | None:
    query = text("SELECT reversed_by FROM operations WHERE operation_id = 'a/target'")
    return tx.execute(query).scalar_one()  # type: ignore[no-any-return]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("kind", "undo", "params", "outcome"), UNDOES)
def test_what_the_earlier_release_undoes_on_this_schema_is_marked_as_reversed(
    upgraded: Engine, kind: str, undo: str, params: dict[str, Any], outcome: dict[str, Any], at_once: bool
) -> None:
    with upgraded.begin() as tx:
        asked(tx, "a/target", kind, {}, {})
        asked(tx, "a/undo", undo, params, outcome if at_once else None)
    if not at_once:
        with upgraded.begin() as tx:
            assert reversed_by(tx) is None
            end = "UPDATE operations SET state = 'done', outcome = :outcome, finished_at = created_at "
            tx.execute(text(end + "WHERE operation_id = 'a/undo'"), {"outcome": json.dumps(outcome)})
    with upgraded.connect() as tx:
        assert reversed_by(tx) == "a/undo"


@pytest.mark.parametrize(
    ("kind", "undo", "params", "outcome"),
    [
        ("charge", "refund", {"charge": "a/target"}, {"refundedMinor": 0}),
        ("charge", "refund", {"charge": "a/target", "kept": ["1"]}, {"refundID": "re_1"}),
        ("reserve", "release", {"reservation": "a/target", "kept": {"PROD-001": 1}}, {}),
        ("pack", "unpack", {"packing": "a/target", "kept": ["1"]}, {}),
        ("ship", "cancel_shipment", {"shipment": "a/target"}, {"tooLate": True}),
        ("ship", "cancel_shipment", {"shipment": "a/elsewhere"}, {}),
        ("reserve", "commit", {"reservation": "a/target"}, {}),
    ],
)
def test_what_is_undone_in_part_or_not_at_all_still_counts(
    upgraded: Engine, kind: str, undo: str, params: dict[str, Any], outcome: dict[str, Any]
) -> None:
    with upgraded.begin() as tx:
        asked(tx, "a/target", kind, {}, {})
        asked(tx, "a/undo", undo, params, outcome)
        assert reversed_by(tx) is None


def test_no_order_waits_while_an_index_is_built_on_a_table_that_has_rows(postgresql: PostgreSQL) -> None:
    postgresql.create("indexes")
    engine = connect(postgresql.url("indexes"))
    migrate_to(engine, "0004")
    statements: list[str] = []

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    schema.migrate(engine)
    engine.dispose()
    built = [statement for statement in statements if re.match(r"CREATE (UNIQUE )?INDEX", statement)]
    assert len(built) == 3
    assert [statement for statement in built if "CONCURRENTLY" not in statement] == []
