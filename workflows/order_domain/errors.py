"""What can go wrong with an order, by name. The names travel as Temporal error types and as reasons in conditions.

OrderError
├── TransientError            worth trying again; the step's retry policy decides how often
│   ├── ProviderUnavailable
│   └── LedgerUnavailable
└── PermanentError            trying again gives the same answer
    ├── InvalidOrder
    ├── DuplicateOrder
    ├── FraudSuspected
    ├── UnknownSku
    ├── OutOfStock
    ├── PaymentDeclined
    ├── Undeliverable
    ├── OperationConflict     the same operation was asked for before with other parameters
    ├── OperationCancelled    the operation was undone before it happened, and so never will
    ├── OperationReversed     the operation happened, and was undone since
    ├── LinesDiffer           the ledger holds other lines for the order than the request
    ├── BooksDisagree         ledger, provider and workflow know different figures
    └── LedgerRefused         the database refuses the content of the request
"""

from typing import ClassVar

from order_domain.status import OrderStatus


class OrderError(Exception):
    """Root of all errors with a meaning in the business of orders."""

    benign: ClassVar[bool] = False
    """Whether it is a proper answer to the question: no failure in the SDK's metrics, no warning in the log."""
    ends_as: ClassVar[OrderStatus] = OrderStatus.ORDER_FAILED
    """How an order ends that this error stops."""


class TransientError(OrderError):
    """Something that may pass; the same call can succeed later."""


class ProviderUnavailable(TransientError):
    """An outside company did not answer, or answered that it cannot now. What it did is unknown, never "failed"."""


class LedgerUnavailable(TransientError):
    """The ledger's database did not answer. Whether it committed is unknown, so that the step is simply repeated."""


class PermanentError(OrderError):
    """An answer that another attempt would only repeat."""


class InvalidOrder(PermanentError):
    """The order breaks a rule that the schema could not check."""

    benign = True
    ends_as = OrderStatus.ORDER_INVALID


class DuplicateOrder(PermanentError):
    """Another order of the namespace has this order number: it is under way, or it kept something."""

    benign = True
    ends_as = OrderStatus.ORDER_DUPLICATE

    def __init__(
        self, order_id: str, first: str, status: OrderStatus | None = None, namesake: str | None = None
    ) -> None:
        """`first` is the order that has the number, as `namespace/name`; `status` is where it stands now. `namesake` is
        its uid where it has the very name of this one: a resource was deleted, or lost, and made again."""
        self.order_id = order_id
        self.first = first
        self.status = status
        self.namesake = namesake
        super().__init__(self._told())

    def _told(self) -> str:
        number, another = f"order number {self.order_id}", "choose another spec.orderID"
        stands = "under way" if self.status is None or not self.status.terminal else self.status.phase.value
        if self.namesake is None:
            which = "" if self.status is None else f", which is {stands}"
            return f"{number} already belongs to {self.first}{which}: {another}"
        if self.status is OrderStatus.ORDER_COMPLETED:
            before = f"{number} was completed under this name before (uid {self.namesake})"
            return f"{before}: if this was restored from a backup, nothing is left to do; else {another}"
        return f"{number} belongs to an earlier order of this name (uid {self.namesake}), which is {stands}: {another}"


class FraudSuspected(PermanentError):
    """The fraud check refused the order; the verdict is final."""

    benign = True
    ends_as = OrderStatus.ORDER_REJECTED


class UnknownSku(PermanentError):
    """A line names an article that the stock ledger does not have."""

    benign = True


class OutOfStock(PermanentError):
    """Fewer pieces are free than the order needs."""

    benign = True


class PaymentDeclined(PermanentError):
    """The payment provider refused; asking again gives the same answer."""

    benign = True


class Undeliverable(PermanentError):
    """The carrier does not deliver to this address; or the mail service, but that never ends an order."""

    benign = True


class OperationConflict(PermanentError):
    """The ledger knows this operation with other parameters: a person has to look before money moves again."""


class OperationCancelled(PermanentError):
    """The operation's undo came first; carrying it out now would leave an effect that nobody undoes."""


class OperationReversed(PermanentError):
    """The operation has an answer of before that no longer stands: it happened and was undone since, and is never
    repeated as done; or an order that waits was refused then for want of pieces."""

    benign = True


class LinesDiffer(PermanentError):
    """The ledger holds other lines or charges for this order than the request: it has to be told the right ones."""

    benign = True


class BooksDisagree(PermanentError):
    """An end, a refund or a call-back does not fit what ledger, provider and workflow know. The message has both sides'
    figures; a person has to look."""


class LedgerRefused(PermanentError):
    """The database refuses the content of the request, for a constraint or for text that it cannot store."""


def end_of(error_type: str) -> OrderStatus:
    """How an order ends that an error of this name stops; `Order Failed` for a name that is none of these."""
    return _ENDS.get(error_type, OrderError.ends_as)


_ENDS = {error.__name__: error.ends_as for error in PermanentError.__subclasses__()}
