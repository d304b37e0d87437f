"""A worker with all roles knows every activity that workflows may call, under the same name."""

import inspect
import pkgutil
from importlib import import_module

import pytest
from shop import Shop

from order_worker.bootstrap import Duties, duties
from order_worker.settings import Role, Settings
from order_workflows import activities
from order_workflows.activities.shipping import ShippingActivities
from order_workflows.activities.warehouse import WarehouseActivities

MODULES = [import_module(f"{activities.__name__}.{each.name}") for each in pkgutil.iter_modules(activities.__path__)]
PORTS = [kind for module in MODULES for kind in vars(module).values() if inspect.isabstract(kind)]
METHODS = [(port, name) for port in PORTS for name in sorted(port.__abstractmethods__)]

on_any_database = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
"""Which activities there are does not depend on it."""


def definition(function: object) -> str | None:
    """The name that `@activity.defn` gave."""
    return getattr(getattr(function, "__temporal_activity_definition", None), "name", None)


def duties_of(shop: Shop, *roles: Role) -> Duties:
    return duties(Settings(roles=frozenset(roles)), shop.ledger, shop.providers, shop.metrics)


@on_any_database
@pytest.mark.parametrize(("port", "method"), METHODS)
async def test_each_method_is_registered_under_the_ports_name(shop: Shop, port: type, method: str) -> None:
    [registered] = [
        each
        for each in duties_of(shop, Role.ORDERS, Role.SHIPPING).activities
        if isinstance(each.__self__, port) and each.__name__ == method
    ]
    wanted = definition(getattr(port, method))
    assert wanted is not None
    assert definition(registered) == wanted


def test_no_two_activities_share_a_name() -> None:
    names = [definition(getattr(port, method)) for port, method in METHODS]
    assert len(names) == len(set(names))


@on_any_database
async def test_a_worker_for_orders_alone_has_every_activity_but_no_shipments(shop: Shop) -> None:
    orders = duties_of(shop, Role.ORDERS)
    both = duties_of(shop, Role.ORDERS, Role.SHIPPING)
    assert [definition(each) for each in orders.activities] == [definition(each) for each in both.activities]
    assert [each.__name__ for each in orders.workflows] == ["OrderWorkflow", "StockItemWorkflow"]
    assert orders.nexus_services == []


@on_any_database
async def test_a_worker_for_shipping_alone_has_what_a_shipment_calls_and_no_money(shop: Shop) -> None:
    shipping = duties_of(shop, Role.SHIPPING)
    assert [each.__name__ for each in shipping.workflows] == ["ShipmentWorkflow"]
    assert {definition(each) for each in shipping.activities} == {
        definition(WarehouseActivities.pack),
        definition(WarehouseActivities.unpack),
        definition(ShippingActivities.ship),
    }
    assert len(shipping.nexus_services) == 1
