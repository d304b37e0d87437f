"""Who stands behind each port, by the name that the settings use.

A provider is one file or folder beside its port and one line here. The line makes it from what `Opening` offers; the
provider's own variables are read in its own files.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from order_process.settings import SettingsError
from order_worker.providers.fraud.port import FraudCheck
from order_worker.providers.fraud.simulated import SimulatedFraudCheck
from order_worker.providers.notification.port import Mailer
from order_worker.providers.notification.simulated import SimulatedMailer
from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.providers.payment.port import PaymentProvider
from order_worker.providers.payment.simulated import SimulatedPayments
from order_worker.providers.postgresql_store import PostgreSQLProviderStore
from order_worker.providers.shipping.port import Carrier
from order_worker.providers.shipping.simulated import SimulatedCarrier
from order_worker.providers.shop_data.port import ShopSystem
from order_worker.providers.shop_data.simulated import SimulatedShopSystem
from order_worker.providers.store import ProviderStore
from order_worker.providers.supplier.port import Supplier
from order_worker.providers.supplier.simulated import SimulatedSupplier
from order_worker.providers.warehouse.port import Warehouse
from order_worker.providers.warehouse.simulated import SimulatedWarehouse
from order_worker.settings import SIMULATED

P = TypeVar("P")


class Opening:
    """What a provider is made of."""

    def __init__(
        self,
        environment: Mapping[str, str],
        books: Path | str,
        resources: AsyncExitStack,
        url_now: Callable[[], str] | None = None,
    ) -> None:
        self.environment = environment
        """The worker's variables."""
        self.resources = resources
        """Takes what has to be closed after the last activity."""
        self.store: ProviderStore | None = None
        """Of the simulated providers; None unless there is one that remembers."""
        self._books = books
        """Of the simulated providers: a file, or the URL of a PostgreSQL database."""
        self._url_now = url_now
        """The same URL for each new connection, where it may change."""

    async def open_store(self) -> ProviderStore:
        """The same for all who ask."""
        if self.store is None:
            if isinstance(self._books, Path):
                self.store = await ProviderStore.open(self._books)
            else:
                self.store = await PostgreSQLProviderStore.open_url(self._books, self._url_now)
            self.resources.push_async_callback(self.store.close)
        return self.store


Factory = Callable[[Opening], Awaitable[P]]
"""Raises SettingsError where a variable of the provider cannot be used."""


def _remembering(kind: Callable[[ProviderStore], P]) -> Factory[P]:
    async def make(opening: Opening) -> P:
        return kind(await opening.open_store())

    return make


def _alone(kind: Callable[[], P]) -> Factory[P]:
    async def make(_: Opening) -> P:
        return kind()

    return make


async def _stripe(opening: Opening) -> PaymentProvider:
    # Imported for those who use it: the library costs every worker 0.13 s of its start and 14 MiB.
    from order_worker.providers.payment.stripe.payments import StripePayments  # noqa: PLC0415

    payments = StripePayments.from_environment(opening.environment)
    opening.resources.push_async_callback(payments.close)
    return payments


async def _smtp(opening: Opening) -> Mailer:
    return SMTPMailer.from_environment(opening.environment)


PAYMENT: Mapping[str, Factory[PaymentProvider]] = {SIMULATED: _remembering(SimulatedPayments), "stripe": _stripe}
MAIL: Mapping[str, Factory[Mailer]] = {SIMULATED: _remembering(SimulatedMailer), "smtp": _smtp}
FRAUD: Mapping[str, Factory[FraudCheck]] = {SIMULATED: _alone(SimulatedFraudCheck)}
SHOP: Mapping[str, Factory[ShopSystem]] = {SIMULATED: _alone(SimulatedShopSystem)}
WAREHOUSE: Mapping[str, Factory[Warehouse]] = {SIMULATED: _remembering(SimulatedWarehouse)}
CARRIER: Mapping[str, Factory[Carrier]] = {SIMULATED: _remembering(SimulatedCarrier)}
SUPPLIER: Mapping[str, Factory[Supplier]] = {SIMULATED: _remembering(SimulatedSupplier)}


def choose(port: Mapping[str, Factory[P]], variable: str, name: str) -> Factory[P]:
    """Raises SettingsError, naming the variable and the known providers."""
    if name not in port:
        raise SettingsError(f"{variable} is {name!r}: write one of {', '.join(sorted(port))}")
    return port[name]
