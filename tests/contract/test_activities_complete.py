"""The worker implements every activity that the workflow may call, under the same name."""

import inspect
from collections.abc import Iterator

import pytest
from shop import Shop

from order_workflows import activities

PORTS = [kind for kind in vars(activities).values() if inspect.isclass(kind) and inspect.isabstract(kind)]
METHODS = [(port, name) for port in PORTS for name in sorted(port.__abstractmethods__)]


def definition(function: object) -> str | None:
    """The name that `@activity.defn` gave."""
    return getattr(getattr(function, "__temporal_activity_definition", None), "name", None)


def implementations(shop: Shop) -> Iterator[object]:
    return iter([shop.orders, shop.stock, shop.fraud, shop.payments, shop.shipping, shop.notifications])


@pytest.mark.parametrize(("port", "method"), METHODS)
async def test_each_method_is_implemented_under_the_ports_name(shop: Shop, port: type, method: str) -> None:
    [implementation] = [each for each in implementations(shop) if isinstance(each, port)]
    wanted = definition(getattr(port, method))
    assert wanted is not None
    assert definition(getattr(implementation, method)) == wanted


def test_no_two_activities_share_a_name() -> None:
    names = [definition(getattr(port, method)) for port, method in METHODS]
    assert len(names) == len(set(names))
