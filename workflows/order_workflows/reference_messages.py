"""Arguments of the messages that the reference systems sent, as they sent them: `other_names.py` answers these."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from order_domain.judgement import Judged
from order_domain.order import Address, Identifier, OrderLine, Reason, VisibleText
from order_workflows.contract import AddressChange, Message

UPDATE_ORDER = "UpdateOrder"
APPROVE_PAYMENT = "approve-payment"
CANCEL_ORDER = "cancel-order"
ADD_LINE_ITEM = "add-line-item"


class NewAddress(Message):
    """Argument of `UpdateOrder` in system 000: one line of text."""

    address: VisibleText = Field(alias="Address")

    def change(self, now: Address) -> AddressChange:
        """The line takes the place of street and house number; town and country stay."""
        return AddressChange(address=now.model_copy(update={"line1": self.address}))


class PaymentApproval(Message):
    """Argument of `approve-payment` in system 003."""

    approved_by: VisibleText = Field(alias="ApprovedBy")


class CancelOrder(Message):
    """Argument of `cancel-order` in system 003."""

    reason: Reason | None = Field(default=None, alias="Reason")


class LineItem(Message):
    """Argument of `add-line-item` in system 003, which knew no price."""

    sku: Identifier = Field(alias="SKU")
    quantity: Annotated[int, Judged(Field(ge=1, le=1_000_000))] = Field(alias="Quantity")

    def added_to(self, lines: Sequence[OrderLine]) -> list[OrderLine] | None:
        """The lines with one more, at the price that the article has in them; None where they do not have it."""
        priced = [line for line in lines if line.sku == self.sku]
        if not priced:
            return None
        taken = {line.line_id for line in lines}
        line_id = next(str(number) for number in range(1, len(lines) + 2) if str(number) not in taken)
        return [*lines, priced[0].model_copy(update={"line_id": line_id, "quantity": self.quantity})]
