"""What an answer of the API server other than the wished one means."""

import pytest
from kubernetes.aio import client

from order_operator.cluster.api import MAX_RETRY_AFTER_SECONDS, ApiRefused


def too_many_requests(retry_after: str | None) -> ApiRefused:
    answer = client.ApiException(status=429, reason="Too Many Requests")
    answer.headers = {} if retry_after is None else {"Retry-After": retry_after}
    return ApiRefused("update orders/status: 429", answer)


@pytest.mark.parametrize(("asked", "seconds"), [("1", 1.0), ("30", 30.0), ("86400", MAX_RETRY_AFTER_SECONDS)])
def test_the_time_for_which_the_api_server_asks_is_taken_from_its_answer(asked: str, seconds: float) -> None:
    assert too_many_requests(asked).after == seconds


@pytest.mark.parametrize("asked", [None, "", "0", "-1", "soon", "Wed, 25 Nov 2026 07:28:00 GMT"])
def test_an_answer_that_names_no_time_leaves_it_to_the_back_off(asked: str | None) -> None:
    """Nought was taken at its word: the request was made again at once, and again."""
    assert too_many_requests(asked).after is None
