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
from order_domain.snapshot import ErrorRecord
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


AGAIN = "was completed under this name before (uid uid-1): if this was restored from a backup, nothing is left to do;"
UNDER_WAY = "belongs to an earlier order of this name (uid uid-1), which is under way:"


@pytest.mark.parametrize(
    ("status", "told"), [(OrderStatus.ORDER_COMPLETED, f"{AGAIN} else"), (OrderStatus.RESERVE_STOCK, UNDER_WAY)]
)
def test_a_duplicate_of_an_order_of_its_own_name_says_so(status: OrderStatus, told: str) -> None:
    """`shop/order-1 belongs to shop/order-1` told nobody anything."""
    error = DuplicateOrder("ORDER-1", "shop/order-1", status, namesake="uid-1")

    assert str(error) == f"order number ORDER-1 {told} choose another spec.orderID"


def test_what_a_restored_order_is_told_fits_into_a_record_of_an_error() -> None:
    error = DuplicateOrder("N" * 63, "shop/order-1", OrderStatus.ORDER_COMPLETED, namesake="u" * 36)

    assert ErrorRecord(type="DuplicateOrder", message=str(error)).message == str(error)
