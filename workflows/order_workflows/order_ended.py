"""How a step says that its order ends here."""

from order_domain.snapshot import ErrorRecord
from order_domain.status import OrderStatus


class OrderEnded(Exception):
    """The order ends here for a reason of business; what was done is undone."""

    def __init__(
        self,
        status: OrderStatus,
        error: ErrorRecord | None = None,
        attempts: int = 0,
        *,
        on_record: bool = False,
    ) -> None:
        """`on_record`: the ledger holds this end of an earlier run, and nothing is to be done."""
        super().__init__(status)
        self.status = status
        self.error = error
        self.attempts = attempts
        self.on_record = on_record

    def after(self, error: ErrorRecord, attempts: int) -> "OrderEnded":
        """The same end; `error` is what the step under way failed with."""
        assert self.error is not None
        message = f"{self.error.message} (meanwhile: {error.message})"
        return OrderEnded(self.status, ErrorRecord(type=self.error.type, message=message), attempts)
