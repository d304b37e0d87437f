"""What every shop has to know."""

from collections.abc import Callable

import pytest

from order_worker.bootstrap import Providers
from order_worker.providers.shop_data.port import MAX_RECOMMENDATIONS, ShopSystem
from order_worker.providers.shop_data.simulated import TIERS

ADAPTERS: dict[str, Callable[[Providers], ShopSystem]] = {"simulated": lambda providers: providers.shop}


@pytest.fixture(params=sorted(ADAPTERS))
def shop_system(request: pytest.FixtureRequest, providers: Providers) -> ShopSystem:
    return ADAPTERS[request.param](providers)


async def test_an_article_that_the_catalogue_does_not_have_is_called_by_its_sku(shop_system: ShopSystem) -> None:
    assert await shop_system.describe(["NO-SUCH-ARTICLE"]) == {"NO-SUCH-ARTICLE": "NO-SUCH-ARTICLE"}


async def test_every_article_is_described(shop_system: ShopSystem) -> None:
    assert (await shop_system.describe(["654300", "A", "A"])).keys() == {"654300", "A"}


async def test_recommendations_are_few_and_distinct(shop_system: ShopSystem) -> None:
    names = await shop_system.recommendations("CUST-1", ["654300"])
    assert len(set(names)) == len(names) <= MAX_RECOMMENDATIONS


async def test_the_scenario_articles_have_their_names(providers: Providers) -> None:
    assert await providers.shop.describe(["654300", "654321", "654322"]) == {
        "654300": "Table Top",
        "654321": "Table Legs",
        "654322": "Keypad",
    }


async def test_the_simulated_standing_of_a_customer_is_stable_and_not_everybodys(providers: Providers) -> None:
    customers = [f"CUST-{number}" for number in range(100)]
    tiers = [await providers.shop.tier(customer) for customer in customers]
    assert tiers == [await providers.shop.tier(customer) for customer in customers]
    assert set(tiers) == set(TIERS)


async def test_the_simulated_recommendations_are_stable_and_not_what_is_bought(providers: Providers) -> None:
    for number in range(20):
        names = await providers.shop.recommendations(f"CUST-{number}", ["654300", "654321"])
        assert names == await providers.shop.recommendations(f"CUST-{number}", ["654300", "654321"])
        assert len(names) == MAX_RECOMMENDATIONS
        assert not {"Table Top", "Table Legs"} & set(names)
