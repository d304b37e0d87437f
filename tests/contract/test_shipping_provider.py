"""What every carrier has to do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from shop import ADDRESS, REQUESTED_AT, SKU

from order_domain.errors import OperationCancelled, OperationConflict, Undeliverable
from order_worker.bootstrap import Providers
from order_worker.providers.shipping.port import Carrier, Dispatch

ADAPTERS: dict[str, Callable[[Providers], Carrier]] = {"simulated": lambda providers: providers.carrier}


@pytest.fixture(params=sorted(ADAPTERS))
def carrier(request: pytest.FixtureRequest, providers: Providers) -> Carrier:
    return ADAPTERS[request.param](providers)


async def dispatch(carrier: Carrier, *, quantity: int = 2, postal_code: str = "12345", key: str = "key") -> Dispatch:
    address = ADDRESS.model_copy(update={"postal_code": postal_code})
    return await carrier.dispatch(key, sku=SKU, quantity=quantity, address=address, requested_at=REQUESTED_AT)


async def test_one_key_is_one_parcel(carrier: Carrier) -> None:
    assert await dispatch(carrier) == await dispatch(carrier)


async def test_two_keys_are_two_parcels(carrier: Carrier) -> None:
    first, second = await dispatch(carrier), await dispatch(carrier, key="other")
    assert first.tracking_number != second.tracking_number


async def test_one_key_with_another_parcel_is_refused(carrier: Carrier) -> None:
    await dispatch(carrier)
    with pytest.raises(OperationConflict):
        await dispatch(carrier, quantity=3)


async def test_a_parcel_arrives_three_days_after_the_request(carrier: Carrier) -> None:
    assert (await dispatch(carrier)).estimated_delivery == REQUESTED_AT + timedelta(days=3)


async def test_a_parcel_is_found_by_its_key(carrier: Carrier) -> None:
    assert await dispatch(carrier) == await carrier.find("key")


async def test_an_unknown_key_is_not_found(carrier: Carrier) -> None:
    assert await carrier.find("key") is None


async def test_an_undeliverable_address_is_refused_and_nothing_taken(carrier: Carrier) -> None:
    with pytest.raises(Undeliverable):
        await dispatch(carrier, postal_code="00000")
    assert await carrier.find("key") is None


async def test_a_parcel_is_called_back_once(carrier: Carrier) -> None:
    parcel = await dispatch(carrier)
    assert await carrier.cancel("key") == parcel
    assert await carrier.cancel("key") == parcel


async def test_a_parcel_that_was_called_back_is_not_taken_again(carrier: Carrier) -> None:
    await dispatch(carrier)
    await carrier.cancel("key")
    with pytest.raises(OperationCancelled):
        await dispatch(carrier)


async def test_cancelling_an_unknown_parcel_makes_it_impossible(carrier: Carrier) -> None:
    assert await carrier.cancel("key") is None
    with pytest.raises(OperationCancelled):
        await dispatch(carrier)
