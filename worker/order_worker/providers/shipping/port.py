"""What the platform asks of a company that delivers parcels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from order_domain.order import Address


@dataclass(frozen=True)
class Dispatch:
    """A parcel on its way."""

    tracking_number: str
    carrier: str
    estimated_delivery: datetime


class TooLate(Exception):
    """The parcel cannot be called back: it is delivered, or so far on its way that it will be."""

    def __init__(self, parcel: Dispatch) -> None:
        super().__init__(f"parcel {parcel.tracking_number} of {parcel.carrier} cannot be called back any more")
        self.parcel = parcel
        """In case that the dispatch never reported."""


class Carrier(ABC):
    """Every method may raise ProviderUnavailable: what it did is unknown then, and the same call may be repeated.

    A key has one fate for ever: dispatched, dispatched and cancelled, or void.
    """

    @abstractmethod
    async def dispatch(
        self, key: str, *, sku: str, quantity: int, address: Address, requested_at: datetime
    ) -> Dispatch:
        """Take a parcel, at most once per `key`; the same key again gives the first answer. The estimated delivery
        counts from `requested_at`. `address.label` is what stands on the parcel, where the company takes text.

        Raises Undeliverable, OperationConflict (the key is known with other parameters) or OperationCancelled
        (`cancel` came first, or has called the parcel back). After Undeliverable the key never takes a parcel, also
        not by an earlier call that is still under way.
        """

    @abstractmethod
    async def find(self, key: str) -> Dispatch | None:
        """What became of a key; None if the company has never seen it. Raises OperationCancelled like `dispatch`."""

    @abstractmethod
    async def cancel(self, key: str, *, tracking_number: str | None) -> Dispatch | None:
        """Call back the parcel that `dispatch` took under this key, at most once. None if there was none; there never
        will be one then: in the same step, a key that the company has not seen is made void.

        `tracking_number`: of the parcel, where the caller knows it. Raises OperationConflict, which names what each
        side knows, if the company has no parcel of this key then, or another one. Raises TooLate, now and for ever, if
        the parcel cannot be called back.
        """
