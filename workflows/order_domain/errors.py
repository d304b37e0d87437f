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
    └── OperationCancelled    the operation was undone before it happened, and so never will
"""


class OrderError(Exception):
    """Root of all errors with a meaning in the business of orders."""


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


class DuplicateOrder(PermanentError):
    """Another order of the namespace already has this order number."""

    def __init__(self, order_id: str, first: str) -> None:
        super().__init__(f"order number {order_id} already belongs to {first}")
        self.order_id = order_id
        self.first = first


class FraudSuspected(PermanentError):
    """The fraud check refused the order; the verdict is final."""


class UnknownSku(PermanentError):
    """A line names an article that the stock ledger does not have."""


class OutOfStock(PermanentError):
    """Fewer pieces are free than the order needs."""


class PaymentDeclined(PermanentError):
    """The payment provider refused; asking again gives the same answer."""


class Undeliverable(PermanentError):
    """The carrier does not deliver to this address; or the mail service, but that never ends an order."""


class OperationConflict(PermanentError):
    """The ledger knows this operation with other parameters: a person has to look before money moves again."""


class OperationCancelled(PermanentError):
    """The operation's undo came first; carrying it out now would leave an effect that nobody undoes."""
