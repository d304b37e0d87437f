"""What the platform asks of a company that moves money."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True)
class ProviderCharge:
    """Money taken."""

    transaction_id: str
    amount_minor: int
    """As it was captured, before any refund."""


@dataclass(frozen=True)
class ProviderRefund:
    """Money given back by one refund, and the charge it belongs to."""

    refund_id: str
    amount_minor: int
    charge: ProviderCharge
    pending: bool = False
    """The company has accepted the refund and has not finished it: `refund_state` tells what becomes of it."""


class RefundState(StrEnum):
    """What has become of a refund that the company once accepted."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"
    """The money is with the merchant again."""


@dataclass(frozen=True)
class ChargeEntry:
    """A charge that took money, as the company's books have it now."""

    key: str | None
    """None: made by somebody else on the same account."""
    transaction_id: str
    captured_minor: int
    refunded_minor: int
    """Of all refunds that have not failed, pending ones included."""
    currency: str
    pending_refunds: tuple[str, ...]
    """Refund ids."""
    at: datetime


@dataclass(frozen=True)
class RefundEntry:
    """A refund, as the company's books have it now."""

    key: str | None
    """None: made by somebody else, or by hand."""
    refund_id: str
    transaction_id: str
    """Of the charge."""
    amount_minor: int
    currency: str
    state: RefundState
    at: datetime


class PaymentProvider(ABC):
    """Every method may raise ProviderUnavailable: what it did is unknown then, and the same call may be repeated.

    A charge's key has one fate for ever: captured, declined or void.
    """

    @abstractmethod
    def refuse_amount(self, amount_minor: int, currency: str) -> str | None:
        """Why the company can never take this amount, as a sentence; None if it can, as far as is known without asking
        it."""

    @abstractmethod
    async def charge(
        self,
        key: str,
        *,
        amount_minor: int,
        currency: str,
        method: str,
        asked_at: datetime,
        ordered_at: datetime | None = None,
    ) -> ProviderCharge:
        """Take money, at most once per `key`; the same key again gives the first answer. A company forgets keys:
        `asked_at` is when this key was first asked for, as far as the ledger remembers, and `ordered_at` when its order
        began. In between it may have been asked for, and the ledger have forgotten that.

        Raises PaymentDeclined, OperationConflict (the key is known with other parameters, or is so old that the
        company cannot tell whether it has been used) or OperationCancelled (`refund` came first). After
        PaymentDeclined and OperationCancelled the key never takes money.
        """

    @abstractmethod
    async def find_charge(self, key: str) -> ProviderCharge | None:
        """What became of a key; None if the company has never seen it, or cannot find it yet: `charge` then gives the
        first answer. Raises PaymentDeclined or OperationCancelled like `charge`."""

    @abstractmethod
    async def refund(
        self,
        key: str,
        *,
        charge_key: str,
        transaction_id: str | None,
        charged_minor: int,
        amount_minor: int,
        currency: str,
        asked_at: datetime,
        ordered_at: datetime | None = None,
    ) -> ProviderRefund | None:
        """Give back exactly `amount_minor` of a charge, at most once per `key`; the same key again gives the first
        answer. A charge may have several refunds; their sum is never more than it took.

        `transaction_id`: of the charge, where the caller knows it. The company is then asked for that transaction.
        None: the company is asked for `charge_key`. If it has never taken money under that key, the answer is None, and
        in the same step the key is made void, so that it never will.
        `charged_minor`: what the charge took or, where that is not known, was to take.
        `asked_at`, `ordered_at`: as in `charge`, of the charge.

        Raises OperationConflict, which names what each side knows, where the company does not know `transaction_id` or
        has another amount for it, where nothing proves that `charge_key` took no money, where the sum would be more
        than was taken, where `key` is known with another amount, and where the refund of this key has failed.
        """

    @abstractmethod
    async def refund_state(self, refund_id: str) -> RefundState:
        """What has become of a refund. Raises OperationConflict if the company does not know it."""

    @abstractmethod
    def charges_since(self, at: datetime) -> AsyncIterator[ChargeEntry]:
        """All charges that took money, begun at `at` or later, in no order; those of others on the same account too."""

    @abstractmethod
    def refunds_since(self, at: datetime) -> AsyncIterator[RefundEntry]:
        """All refunds made at `at` or later, in no order, whatever the age of their charges."""
