"""What people and policies did about an order stands in its audit trail, once, with who, how and about what."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from audited import flaws
from shop import REQUESTED_AT, Buyer, Shop
from sqlalchemy import insert

from order_worker.ledger import audit, locked_order, replay, tables
from order_worker.ledger.operation_kind import OperationKind
from order_workflows.activities.order import AuditNote, NoteKind

Carries = Callable[[Shop, Buyer, list[AuditNote]], Awaitable[object]]


async def charge(shop: Shop, buyer: Buyer, notes: list[AuditNote]) -> None:
    await shop.payments.charge(buyer.charge().model_copy(update={"notes": notes}))


async def halt(shop: Shop, buyer: Buyer, notes: list[AuditNote]) -> None:
    await shop.orders.halt(buyer.halt(notes=notes))


async def close(shop: Shop, buyer: Buyer, notes: list[AuditNote]) -> None:
    await shop.orders.close(buyer.close("Order Cancelled", notes=notes))


CARRIERS: list[Carries] = [charge, halt, close]


def a_note(kind: NoteKind = NoteKind.APPROVED, **fields: Any) -> AuditNote:
    told: dict[str, Any] = {
        "note_id": "uid-1/note/1",
        "by": "ana",
        "requester": "bob",
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


@pytest.mark.parametrize("carry", CARRIERS)
async def test_a_note_is_one_event_with_who_did_it_how_and_about_what(shop: Shop, carry: Carries) -> None:
    buyer = await shop.buyer()
    await carry(shop, buyer, [a_note()])
    [(kind, data)] = await noted(shop)
    assert kind == "approved"
    expected = {
        "by": "ana",
        "requester": "bob",
        "channel": "kubernetes",
        "generation": 3,
        "totalMinor": 750,
        "currency": "USD",
        "digest": "0123456789abcdef",
    }
    assert {name: data[name] for name in expected} == expected


async def test_a_note_that_comes_with_every_request_is_recorded_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    for carry in (halt, halt, close, close):
        await carry(shop, buyer, [a_note(reason="a gift")])
    assert len(await noted(shop)) == 1


async def test_a_run_that_was_reset_repeats_a_note_at_another_time_and_adds_none(shop: Shop) -> None:
    buyer = await shop.buyer()
    await halt(shop, buyer, [a_note()])
    await halt(shop, buyer, [a_note(at=REQUESTED_AT.replace(hour=12))])
    assert len(await noted(shop)) == 1


async def test_another_act_under_the_same_id_is_another_event(shop: Shop) -> None:
    buyer = await shop.buyer()
    await halt(shop, buyer, [a_note()])
    await close(shop, buyer, [a_note(NoteKind.REJECTED)])
    assert [kind for kind, _ in await noted(shop)] == ["approved", "rejected"]


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
