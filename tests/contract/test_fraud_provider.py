"""What every fraud check has to do."""

from collections.abc import Callable

import pytest

from order_domain.errors import FraudSuspected
from order_worker.bootstrap import Providers
from order_worker.providers.fraud.port import FraudCheck

ADAPTERS: dict[str, Callable[[Providers], FraudCheck]] = {"simulated": lambda providers: providers.fraud}


@pytest.fixture(params=sorted(ADAPTERS))
def fraud(request: pytest.FixtureRequest, providers: Providers) -> FraudCheck:
    return ADAPTERS[request.param](providers)


async def test_a_suspect_is_refused(fraud: FraudCheck) -> None:
    with pytest.raises(FraudSuspected):
        await fraud.check(customer_id="FRAUD-1", total_minor=1, currency="USD", country="US")


async def test_everybody_else_passes(fraud: FraudCheck) -> None:
    await fraud.check(customer_id="CUST-FRAUD-1", total_minor=10**9, currency="USD", country="US")
