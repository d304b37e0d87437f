"""What several modules share: a shop of one order, and a shelf of stock items."""

import pytest
from one_order_shop import Shop, connected
from stock_shelf import Keeper, Shelf, temporal_finds
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from order_operator.stock_items import submission
from order_operator.temporal.starting import Start


@pytest.fixture
async def shelf() -> Shelf:
    # Never connects: a call of Temporal would fail here.
    return Shelf(await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter))


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the workflows that were started; none of them is found right away."""
    started: list[str] = []

    async def start(_client: Client, wanted: Start) -> None:
        started.append(wanted.workflow_id)

    async def find(*_: object) -> None:
        """No row yet."""

    monkeypatch.setattr(submission, "start", start)
    temporal_finds(monkeypatch, find)
    return started


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    return Keeper(monkeypatch)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(), monkeypatch)


@pytest.fixture
def paused_shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(paused=True), monkeypatch)
