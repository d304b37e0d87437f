"""What several modules share: a shop of one order."""

import pytest
from one_order_shop import Shop, connected


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(), monkeypatch)


@pytest.fixture
def paused_shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return connected(Shop(paused=True), monkeypatch)
