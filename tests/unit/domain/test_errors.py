import pytest

from order_domain.errors import (
    BooksDisagree,
    DuplicateOrder,
    FraudSuspected,
    InvalidOrder,
    LedgerRefused,
    OperationConflict,
    PaymentDeclined,
    PermanentError,
    end_of,
)
from order_domain.status import OrderStatus


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (DuplicateOrder, OrderStatus.ORDER_DUPLICATE),
        (InvalidOrder, OrderStatus.ORDER_INVALID),
        (FraudSuspected, OrderStatus.ORDER_REJECTED),
        (PaymentDeclined, OrderStatus.ORDER_FAILED),
    ],
)
def test_an_error_says_how_the_order_ends(error: type[PermanentError], end: OrderStatus) -> None:
    assert end_of(error.__name__) is end is error.ends_as


@pytest.mark.parametrize("name", ["ProviderUnavailable", "RuntimeError", ""])
def test_an_error_that_is_no_answer_fails_the_order(name: str) -> None:
    assert end_of(name) is OrderStatus.ORDER_FAILED


def test_what_a_person_has_to_look_at_is_no_benign_answer() -> None:
    assert not any(error.benign for error in (BooksDisagree, LedgerRefused, OperationConflict))


@pytest.mark.parametrize(
    ("status", "stands"),
    [
        (OrderStatus.RESERVE_STOCK, ", which is under way"),
        (OrderStatus.MANUAL_REVIEW, ", which is under way"),
        (OrderStatus.ORDER_COMPLETED, ", which is Completed"),
        (None, ""),
    ],
)
def test_a_duplicate_says_who_has_the_number_and_what_to_do(status: OrderStatus | None, stands: str) -> None:
    error = DuplicateOrder("ORDER-1", "shop/first", status)

    assert str(error) == f"order number ORDER-1 already belongs to shop/first{stands}: choose another spec.orderID"
