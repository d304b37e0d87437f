"""What every carrier has to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from shop import ADDRESS, REQUESTED_AT, SKU

from order_domain.errors import OperationCancelled, OperationConflict, Undeliverable
from order_worker.bootstrap import Providers
from order_worker.providers import registry
from order_worker.providers.shipping.port import Carrier, Dispatch, TooLate


@dataclass
class Adapter:
    """A carrier, and what can happen on its side."""

    carrier: Carrier
    forget: Callable[[], Awaitable[None]]
    """Its books are gone; or the account is another one."""


def simulated(providers: Providers) -> Adapter:
    store = providers.store
    assert store is not None

    async def forget() -> None:
        await store.transaction(lambda tx: tx.execute("DELETE FROM shipments"))

    return Adapter(providers.carrier, forget)


ADAPTERS: dict[str, Callable[[Providers], Adapter]] = {"simulated": simulated}


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest, providers: Providers) -> Adapter:
    return ADAPTERS[request.param](providers)


@pytest.fixture
def carrier(adapter: Adapter) -> Carrier:
    return adapter.carrier


def test_every_registered_carrier_is_tested_here() -> None:
    assert ADAPTERS.keys() == registry.CARRIER.keys()


async def test_the_simulated_carrier_keeps_the_label_of_a_parcel(providers: Providers) -> None:
    address = ADDRESS.model_copy(update={"company": "Roe & Sons", "state": "IL", "phone": "+1 217 555 0100"})
    request = {"sku": SKU, "quantity": 1, "requested_at": REQUESTED_AT}

    await providers.carrier.dispatch("key", address=address, **request)
    await providers.carrier.dispatch("key", address=address, **request)
    await providers.carrier.dispatch(
        "to-hong-kong", address=address.model_copy(update={"postal_code": None, "country": "HK"}), **request
    )

    assert providers.store is not None
    rows = await providers.store.transaction(lambda tx: tx.execute("SELECT * FROM labels ORDER BY key").fetchall())
    assert [(row["key"], row["text"].splitlines()[-3:]) for row in rows] == [
        ("key", ["Springfield, IL 12345", "US", "Phone: +1 217 555 0100"]),
        ("to-hong-kong", ["Springfield, IL", "HK", "Phone: +1 217 555 0100"]),
    ]


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


@pytest.mark.parametrize("known", [False, True])
async def test_a_parcel_is_called_back_once(carrier: Carrier, known: bool) -> None:
    parcel = await dispatch(carrier)
    tracking_number = parcel.tracking_number if known else None
    assert await carrier.cancel("key", tracking_number=tracking_number) == parcel
    assert await carrier.cancel("key", tracking_number=tracking_number) == parcel


async def test_a_parcel_that_was_called_back_is_not_taken_again(carrier: Carrier) -> None:
    await dispatch(carrier)
    await carrier.cancel("key", tracking_number=None)
    with pytest.raises(OperationCancelled):
        await dispatch(carrier)


async def test_cancelling_an_unknown_parcel_makes_it_impossible(carrier: Carrier) -> None:
    assert await carrier.cancel("key", tracking_number=None) is None
    with pytest.raises(OperationCancelled):
        await dispatch(carrier)


async def test_a_parcel_that_the_carrier_has_forgotten_is_no_nothing(adapter: Adapter) -> None:
    parcel = await dispatch(adapter.carrier)
    await adapter.forget()
    with pytest.raises(OperationConflict, match=parcel.tracking_number):
        await adapter.carrier.cancel("key", tracking_number=parcel.tracking_number)
    assert await adapter.carrier.find("key") is None


async def test_the_tracking_number_of_another_parcel_is_a_conflict_and_calls_nothing_back(carrier: Carrier) -> None:
    parcel, other = await dispatch(carrier), await dispatch(carrier, key="other")
    with pytest.raises(OperationConflict, match=f"{other.tracking_number}.*{parcel.tracking_number}"):
        await carrier.cancel("key", tracking_number=other.tracking_number)
    assert await carrier.find("key") == parcel


@pytest.mark.parametrize("known", [False, True])
async def test_a_delivered_parcel_cannot_be_called_back_now_or_later(carrier: Carrier, known: bool) -> None:
    parcel = await dispatch(carrier, postal_code="99999")
    for _ in range(2):
        with pytest.raises(TooLate) as late:
            await carrier.cancel("key", tracking_number=parcel.tracking_number if known else None)
        assert late.value.parcel == parcel
    assert await carrier.find("key") == parcel
