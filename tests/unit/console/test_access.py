"""Answers about rights: asked of the API server, and kept for a while."""

import pytest
from console_pieces import SECRET
from fake_cluster import FakeCluster

from order_console import access as module
from order_console.access import Access
from order_console.api_server import ApiError
from order_console.identity import Caller
from order_console.sessions import Session


class Counting:
    """Counts what is asked, and answers as told."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._api = cluster.as_user("maria")
        self.asked = 0
        self.away = False

    async def call(self, *arguments: object, **more: object) -> dict[str, object]:
        self.asked += 1
        if self.away:
            raise ApiError(0, "the API server does not answer")
        return await self._api.call(*arguments, **more)  # type: ignore[arg-type]


@pytest.fixture
def api(cluster: FakeCluster) -> Counting:
    return Counting(cluster)


@pytest.fixture
def maria(api: Counting) -> Caller:
    return Caller("maria", (), api, Session(SECRET))  # type: ignore[arg-type]


async def test_an_answer_is_kept_for_half_a_minute(
    maria: Caller, api: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access()
    assert await access.may(maria, "approve", "shop")
    assert await access.may(maria, "approve", "shop")
    assert api.asked == 1

    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    assert await access.may(maria, "approve", "shop")
    assert api.asked == 2


async def test_an_answer_about_one_person_is_not_another_ones(maria: Caller, cluster: FakeCluster) -> None:
    access = Access()
    assert await access.may(maria, "approve", "shop")

    viewer = Caller("viewer", (), cluster.as_user("viewer"), Session(SECRET))  # type: ignore[arg-type]
    assert not await access.may(viewer, "approve", "shop")


async def test_while_the_api_server_is_away_the_last_answer_counts_on(
    maria: Caller, api: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access()
    assert await access.may(maria, "list", "shop")
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    api.away = True

    assert await access.may(maria, "list", "shop")
    with pytest.raises(ApiError):
        await access.may(maria, "list", "outlet")


async def test_of_many_namespaces_only_those_are_asked_about_that_are_not_known(maria: Caller, api: Counting) -> None:
    access = Access()
    assert await access.may(maria, "approve", "shop")
    assert api.asked == 1

    assert "shop" in await access.where(maria, "approve", ["shop", "outlet"])
    assert api.asked == 2
