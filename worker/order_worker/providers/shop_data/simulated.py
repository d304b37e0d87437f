"""A shop of three articles that knows every customer: the same question always gets the same answer."""

import hashlib
from collections.abc import Sequence

from order_worker.providers.shop_data.port import MAX_RECOMMENDATIONS, ShopSystem

DESCRIPTIONS = {"654300": "Table Top", "654321": "Table Legs", "654322": "Keypad"}
"""The articles of the scenario demonstration."""

TIERS = ("Bronze", "Silver", "Gold", "Platinum")

NAMES = ("Cable Tray", "Desk Lamp", "Drawer Unit", "Footrest", "Monitor Arm", "Table Legs", "Table Top")


class SimulatedShopSystem(ShopSystem):
    """Standing and recommendations follow from the customer's id."""

    async def describe(self, skus: Sequence[str]) -> dict[str, str]:
        """From `DESCRIPTIONS`."""
        return {sku: DESCRIPTIONS.get(sku, sku) for sku in skus}

    async def tier(self, customer_id: str) -> str:
        """One of `TIERS`."""
        return TIERS[_number(customer_id) % len(TIERS)]

    async def recommendations(self, customer_id: str, skus: Sequence[str]) -> list[str]:
        """From `NAMES`, never what is being bought."""
        bought = (await self.describe(skus)).values()
        others = [name for name in NAMES if name not in bought]
        return sorted(others, key=lambda name: _number(f"{customer_id}/{name}"))[:MAX_RECOMMENDATIONS]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
