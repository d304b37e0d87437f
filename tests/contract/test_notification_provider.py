"""What every mail service has to do."""

from collections.abc import Callable

import pytest

from order_domain.errors import OperationConflict
from order_worker.bootstrap import Providers
from order_worker.providers.notification.port import Mailer

ADAPTERS: dict[str, Callable[[Providers], Mailer]] = {"simulated": lambda providers: providers.mailer}


@pytest.fixture(params=sorted(ADAPTERS))
def mailer(request: pytest.FixtureRequest, providers: Providers) -> Mailer:
    return ADAPTERS[request.param](providers)


async def send(mailer: Mailer, *, body: str = "On its way.") -> None:
    await mailer.send("key", recipient="ana@example.com", subject="Yours", body=body)


async def test_a_mail_that_was_sent_is_known(mailer: Mailer) -> None:
    await send(mailer)
    assert await mailer.was_sent("key")


async def test_a_mail_that_was_not_sent_is_unknown(mailer: Mailer) -> None:
    assert not await mailer.was_sent("key")


async def test_one_key_with_another_mail_is_refused(mailer: Mailer) -> None:
    await send(mailer)
    with pytest.raises(OperationConflict):
        await send(mailer, body="Something else.")
