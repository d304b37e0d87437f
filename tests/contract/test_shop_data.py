"""The lines as the shop's catalogue knows them."""

from shop import Shop, a_line

from order_workflows.activities.shop_data import FetchProfile, FetchRecommendations, GetItems


async def test_items_are_sorted_by_line(shop: Shop) -> None:
    lines = [a_line("b", 1, sku="654321"), a_line("a", 2, sku="654300")]

    items = (await shop.shop_data.items(GetItems(lines=lines))).items

    assert [(item.line_id, item.sku, item.quantity, item.description) for item in items] == [
        ("a", "654300", 2, "Table Top"),
        ("b", "654321", 1, "Table Legs"),
    ]


async def test_what_the_order_calls_a_line_goes_before_the_catalogue(shop: Shop) -> None:
    line = a_line("1", 1, sku="654300").model_copy(update={"description": "Oak board"})

    [item] = (await shop.shop_data.items(GetItems(lines=[line]))).items

    assert item.description == "Oak board"


async def test_a_customer_has_a_standing_and_recommendations(shop: Shop) -> None:
    profile = await shop.shop_data.profile(FetchProfile(customer_id="CUST-1"))
    recommendations = await shop.shop_data.recommendations(FetchRecommendations(customer_id="CUST-1", skus=["654300"]))

    assert profile.tier == await shop.providers.shop.tier("CUST-1")
    assert recommendations.names == await shop.providers.shop.recommendations("CUST-1", ["654300"])
