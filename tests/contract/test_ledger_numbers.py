"""An order number has one holder per installation, for as long as its order keeps something."""

import asyncio
from dataclasses import dataclass

import pytest
from shop import Buyer, Shop

from order_domain.errors import DuplicateOrder, OperationCancelled
from order_worker.__main__ import main
from order_worker.ledger import installations, tables
from order_workflows.contract import ResourceIdentity


@dataclass
class Customer(Buyer):
    """An order of one installation."""

    cluster: str = "east"

    def __post_init__(self) -> None:
        self.identity = ResourceIdentity(cluster=self.cluster, namespace="shop", name=self.name, uid=self.uid)


def an_order(uid: str, cluster: str = "east") -> Customer:
    """All with the same number."""
    return Customer(uid=uid, name=f"order-{uid}", order_id="ORDER-1", cluster=cluster)


async def numbers(shop: Shop) -> list[tuple[str, str | None, str | None]]:
    rows = await shop.rows(tables.orders)
    return sorted((row["uid"], row["order_id"], row["former_order_id"]) for row in rows)


async def test_two_installations_on_one_ledger_have_each_their_numbers(shop: Shop) -> None:
    await shop.orders.receive(an_order("a", "east").receive())
    await shop.orders.receive(an_order("b", "west").receive())
    assert await numbers(shop) == [("a", "ORDER-1", None), ("b", "ORDER-1", None)]


async def test_two_orders_of_one_number_in_two_installations_run_side_by_side(shop: Shop) -> None:
    east, west = an_order("a", "east"), an_order("b", "west")
    for buyer in (east, west):
        await shop.orders.receive(buyer.receive())
    for buyer in (east, west):
        await shop.stock.reserve(buyer.reserve())
        await shop.payments.charge(buyer.charge())
    await shop.stock.commit(east.commit())
    await shop.orders.close(east.close())
    await shop.payments.refund(west.refund())
    await shop.stock.release(west.release())
    await shop.orders.close(west.close("Order Cancelled"))

    rows = await shop.rows(tables.orders)
    ends = {row["uid"]: (row["status"], row["order_id"], row["former_order_id"]) for row in rows}
    assert ends == {"a": ("Order Completed", "ORDER-1", None), "b": ("Order Cancelled", None, "ORDER-1")}
    money = {
        row["order_uid"]: row["captured_minor"] - row["refunded_minor"] for row in await shop.rows(tables.payments)
    }
    assert money == {"a": 750, "b": 0}
    assert await shop.counts() == (8, 0, 2)


async def test_a_duplicate_is_told_who_has_the_number_and_how_that_order_stands(shop: Shop) -> None:
    await shop.orders.receive(an_order("a").receive())
    with pytest.raises(DuplicateOrder, match="belongs to shop/order-a, which is under way"):
        await shop.orders.receive(an_order("b").receive())


async def test_a_completed_order_that_is_restored_under_another_uid_is_told_that_it_was_completed(shop: Shop) -> None:
    first, restored = an_order("a"), Customer(uid="b", name="order-a", order_id="ORDER-1")
    await shop.orders.receive(first.receive(charged=False))
    await shop.orders.close(first.close())

    with pytest.raises(DuplicateOrder, match=r"was completed under this name before \(uid a\)"):
        await shop.orders.receive(restored.receive())


async def test_an_order_that_is_restored_in_another_installation_is_a_duplicate_while_the_first_one_has_the_number(
    shop: Shop,
) -> None:
    """It was charged a second time there."""
    first, restored = an_order("a", "east"), Customer(uid="b", name="order-a", order_id="ORDER-1", cluster="west")
    again = restored.receive().model_copy(update={"begins_again": "a"})
    await shop.orders.receive(first.receive(charged=False))
    with pytest.raises(DuplicateOrder, match="which is under way"):
        await shop.orders.receive(again)
    await shop.orders.close(first.close())
    with pytest.raises(DuplicateOrder, match=r"was completed under this name before \(uid a\)"):
        await shop.orders.receive(again)
    assert await numbers(shop) == [("a", "ORDER-1", None)]


async def test_an_order_that_is_restored_in_another_installation_begins_once_the_first_one_has_given_its_number_back(
    shop: Shop,
) -> None:
    first, restored = an_order("a", "east"), an_order("b", "west")
    await shop.orders.receive(first.receive())
    await shop.orders.close(first.close("Order Cancelled"))

    await shop.orders.receive(restored.receive().model_copy(update={"begins_again": "a"}))

    assert await numbers(shop) == [("a", None, "ORDER-1"), ("b", "ORDER-1", None)]


@pytest.mark.parametrize(("first", "second"), [("default", "east"), ("east", "default"), ("default", "default")])
async def test_an_order_of_an_unknown_installation_holds_its_number_for_all(
    shop: Shop, first: str, second: str
) -> None:
    await shop.orders.receive(an_order("a", first).receive())
    with pytest.raises(DuplicateOrder, match="shop/order-a"):
        await shop.orders.receive(an_order("b", second).receive())


async def test_an_older_order_that_is_assigned_holds_its_number_for_its_installation_alone(shop: Shop) -> None:
    await shop.orders.receive(an_order("a", "default").receive())
    assert await installations.assign(shop.ledger, "east", "elsewhere") == 0
    assert await installations.assign(shop.ledger, "east", "shop") == 1
    await shop.orders.receive(an_order("b", "west").receive())
    with pytest.raises(DuplicateOrder):
        await shop.orders.receive(an_order("c", "east").receive())


async def test_older_orders_are_assigned_by_command(
    shop: Shop, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_LEDGER_URL", ledger_url)
    await shop.orders.receive(an_order("a", "default").receive())
    for _ in range(2):
        # In a thread: the command has an event loop of its own.
        assert await asyncio.to_thread(main, ["assign-cluster", "east"]) == 0
    assert capsys.readouterr().out == "1 orders assigned to east\nno orders assigned to east\n"


def test_a_cluster_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["assign-cluster", "default"])


@pytest.mark.parametrize("end", ["Order Cancelled", "Order Failed", "Order Rejected"])
async def test_an_order_that_ends_with_nothing_kept_gives_its_number_back(shop: Shop, end: str) -> None:
    first, second = an_order("a"), an_order("b")
    await shop.orders.receive(first.receive())
    await shop.orders.close(first.close(end))
    await shop.orders.receive(second.receive())
    assert await numbers(shop) == [("a", None, "ORDER-1"), ("b", "ORDER-1", None)]
    with pytest.raises(OperationCancelled):
        await shop.orders.receive(first.receive())


async def test_a_completed_order_keeps_its_number(shop: Shop) -> None:
    first = an_order("a")
    await shop.orders.receive(first.receive())
    await shop.orders.close(first.close())
    with pytest.raises(DuplicateOrder, match="which is Completed"):
        await shop.orders.receive(an_order("b").receive())


async def test_halting_an_order_never_takes_a_number(shop: Shop) -> None:
    stopped = an_order("a")
    await shop.orders.halt(stopped.halt())
    await shop.orders.receive(an_order("b").receive())
    assert await numbers(shop) == [("a", None, "ORDER-1"), ("b", "ORDER-1", None)]


async def test_halting_an_order_takes_no_number(shop: Shop) -> None:
    await shop.orders.receive(an_order("a").receive())
    await shop.orders.halt(an_order("b").halt(status="Order Duplicate"))
    await shop.orders.halt(an_order("c").halt(status="Order Cancelled"))
    assert [(uid, number is not None) for uid, number, _ in await numbers(shop)] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
