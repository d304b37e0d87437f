"""What the shop knows of its articles and customers: questions only, so that the ledger keeps nothing of it."""

from temporalio import activity

from order_domain.snapshot import ItemRecord
from order_worker.providers.shop_data.port import ShopSystem
from order_workflows.activities.shop_data import (
    FetchProfile,
    FetchRecommendations,
    GetItems,
    Items,
    Profile,
    Recommendations,
    ShopDataActivities,
)


class ShopData(ShopDataActivities):
    """Asks the shop each time."""

    def __init__(self, shop: ShopSystem) -> None:
        self._shop = shop

    @activity.defn(name="get_items")
    async def items(self, request: GetItems) -> Items:
        """What the order itself calls a line goes before the catalogue."""
        names = await self._shop.describe([line.sku for line in request.lines])
        records = [
            ItemRecord(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                description=line.description or names[line.sku],
            )
            for line in request.lines
        ]
        return Items(items=sorted(records, key=lambda record: record.line_id))

    @activity.defn(name="fetch_customer_profile")
    async def profile(self, request: FetchProfile) -> Profile:
        return Profile(tier=await self._shop.tier(request.customer_id))

    @activity.defn(name="fetch_recommendations")
    async def recommendations(self, request: FetchRecommendations) -> Recommendations:
        return Recommendations(names=await self._shop.recommendations(request.customer_id, request.skus))
