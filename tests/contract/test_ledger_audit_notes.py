"""The check of the books knows every kind of event and note, and a run that was reset adds no note twice."""

from typing import Any

import pytest
from audited import flaws
from shop import REQUESTED_AT, Buyer, Shop
from sqlalchemy import insert

from order_domain.audit_note import AuditNote, NoteKind
from order_worker.ledger import audit, locked_order, replay, tables
from order_worker.ledger.operation_kind import OperationKind


async def halt(shop: Shop, buyer: Buyer, notes: list[AuditNote]) -> None:
    await shop.orders.halt(buyer.halt(notes=notes))


async def close(shop: Shop, buyer: Buyer, notes: list[AuditNote]) -> None:
    await shop.orders.close(buyer.close("Order Cancelled", notes=notes))


def a_note(kind: NoteKind = NoteKind.APPROVED, **fields: Any) -> AuditNote:
    told: dict[str, Any] = {
        "note_id": "uid-1/note/1",
        "by": "ana",
        "requester": "bob",
        "editor": "eve",
        "proof": "Claimed",
        "channel": "kubernetes",
        "generation": 3,
        "total_minor": 750,
        "currency": "USD",
        "digest": "0123456789abcdef",
        "at": REQUESTED_AT,
    }
    return AuditNote(kind=kind, **(told | fields))


async def noted(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    kinds = set(NoteKind)
    return [(row["kind"], row["data"]) for row in await shop.rows(tables.audit_events) if row["kind"] in kinds]


async def test_a_run_that_was_reset_repeats_a_note_at_another_time_and_adds_none(shop: Shop) -> None:
    buyer = await shop.buyer()
    await halt(shop, buyer, [a_note()])
    await halt(shop, buyer, [a_note(at=REQUESTED_AT.replace(hour=12))])
    assert len(await noted(shop)) == 1


@pytest.mark.parametrize("kind", NoteKind)
async def test_the_check_of_the_books_knows_every_kind_of_note(shop: Shop, ledger_url: str, kind: NoteKind) -> None:
    await close(shop, await shop.buyer(), [a_note(kind)])
    assert flaws(ledger_url) == []


def test_the_check_of_the_books_knows_every_kind_of_event_that_this_release_writes() -> None:
    written = {*OperationKind, *NoteKind, audit.CHAIN_CLOSED} - {OperationKind.NOTE}
    assert written - replay._STEPS.keys() == set()


@pytest.mark.parametrize("state", ["done", "refused"])
async def test_an_event_of_an_unknown_kind_is_reported(shop: Shop, ledger_url: str, state: str) -> None:
    buyer = await shop.buyer()
    row = {"order_uid": "uid-1", "operation_id": "uid-1/gift", "kind": "gift", "params": {}, "state": state}
    times = {"created_at": REQUESTED_AT, "finished_at": REQUESTED_AT}

    def of_the_next_release(tx: Any) -> None:
        order = locked_order.lock(tx, buyer.identity)
        tx.execute(insert(tables.operations).values(**row, **times, outcome={}))
        audit.append(tx, order, "gift", {"operationID": "uid-1/gift", "state": state, "params": {}})

    await shop.ledger.transaction(of_the_next_release)
    [flaw] = flaws(ledger_url)
    assert "kinds that this release does not know (gift)" in flaw
