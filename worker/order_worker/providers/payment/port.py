"""What the platform asks of a company that moves money."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class ProviderCharge:
    """Money taken."""

    transaction_id: str
    amount_minor: int


@dataclass(frozen=True)
class ProviderRefund:
    """Money given back, and the charge it undoes."""

    refund_id: str
    amount_minor: int
    charge: ProviderCharge


class PaymentProvider(ABC):
    """Every method may raise ProviderUnavailable: what it did is unknown then, and the same call may be repeated.

    A key has one fate for ever: captured, declined or void.
    """

    @abstractmethod
    async def charge(self, key: str, *, amount_minor: int, currency: str, method: str) -> ProviderCharge:
        """Take money, at most once per `key`; the same key again gives the first answer.

        Raises PaymentDeclined, OperationConflict (the key is known with other parameters) or OperationCancelled
        (`refund` came first). After PaymentDeclined and OperationCancelled the key never takes money.
        """

    @abstractmethod
    async def find_charge(self, key: str) -> ProviderCharge | None:
        """What became of a key; None if the company has never seen it, or cannot find it yet: `charge` then gives the
        first answer. Raises PaymentDeclined or OperationCancelled like `charge`."""

    @abstractmethod
    async def refund(self, key: str, *, charge_key: str, amount_minor: int, currency: str) -> ProviderRefund | None:
        """Undo the whole charge, at most once per charge. None if it took nothing; it never will then: in the same
        step, a charge that the company has not seen is made void. The amount is what the charge was to take: there are
        companies where a charge has to exist before it can be made void."""
