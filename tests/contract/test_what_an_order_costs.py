"""What a completed order of one line asks of the ledger: the numbers that decide how many orders a shop can take."""

import sqlite3
from typing import Any

import pytest
from shop import Buyer, Shop, a_line
from sqlalchemy import Connection, event

from order_worker.ledger.database import Ledger
from order_workflows.activities.stock import ValidateLines

TRANSACTIONS = 12
"""One each for receive, validate, fraud check, reserve, commit and close; two each for charge, shipment and mail,
before and after the company is asked. The release before this one needed as many."""

STATEMENTS = 72
"""64 in 38efdd1. The rest: two for each of the three intents' audit events, one to compare the lines in force each with
the reservation and with the sale."""


class Counted:
    """What reaches a ledger."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.transactions = 0
        self.statements = 0
        transaction = ledger.transaction

        async def counted(work: Any) -> Any:
            self.transactions += 1
            return await transaction(work)

        monkeypatch.setattr(ledger, "transaction", counted)
        event.listen(ledger._engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Connection, _cursor: sqlite3.Cursor, *_: object) -> None:
        self.statements += 1


async def test_a_completed_order_costs_the_ledger_no_more_transactions_than_it_did(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The activities in the order that `test_happy_path` asserts of the workflow."""
    buyer, line = Buyer(), a_line("1", 2)
    counted = Counted(shop.ledger, monkeypatch)

    await shop.orders.receive(buyer.receive(line, charged=True))
    await shop.stock.validate(ValidateLines(lines=[line], currency="USD", total_minor=750))
    await shop.fraud.check(buyer.fraud_check())
    await shop.stock.reserve(buyer.reserve())
    await shop.payments.charge(buyer.charge())
    await shop.shipping.ship(buyer.ship())
    await shop.stock.commit(buyer.commit())
    await shop.notifications.notify(buyer.notice())
    await shop.orders.close(buyer.close())

    assert counted.transactions == TRANSACTIONS
    assert counted.statements <= STATEMENTS
