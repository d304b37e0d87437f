"""What an answer of the API server other than the wished one means."""

import json
from typing import Any, cast

import pytest
from kubernetes.aio import client

from order_operator.cluster.api import MAX_RETRY_AFTER_SECONDS, ApiRefused, ApiUnreachable, KubernetesApi, NotFound
from order_operator.cluster.api_names import ORDERS
from order_operator.cluster.policies import PROVING_POLICY


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


def not_found(body: str) -> KubernetesApi:
    """Answers a question for any object with 404 and this body."""

    class Objects:
        async def get_namespaced_custom_object(self, *_: Any, **__: Any) -> None:
            answer = client.ApiException(status=404, reason="Not Found")
            answer.body = body
            raise answer

        get_cluster_custom_object = get_namespaced_custom_object

    api = KubernetesApi(cast("client.ApiClient", object()))
    api._objects = cast("client.CustomObjectsApi", Objects())
    return api


async def test_an_object_that_the_api_server_says_is_not_there_is_gone() -> None:
    details = {"name": "order-1", "group": "order-platform.dev", "kind": "orders"}
    body = json.dumps({"kind": "Status", "reason": "NotFound", "details": details, "code": 404})

    with pytest.raises(NotFound):
        await not_found(body).get(ORDERS, "shop", "order-1")


@pytest.mark.parametrize(
    "body", ["404 page not found", "", '{"kind": "Status", "details": {}}', "[]", '{"details": 1}']
)
async def test_a_path_that_the_api_server_does_not_know_tells_of_no_object(body: str) -> None:
    """An API server that has just started does not know the kinds yet; a proxy knows none. Nothing is gone by that."""
    with pytest.raises(ApiUnreachable, match="does not serve this kind"):
        await not_found(body).get(ORDERS, "shop", "order-1")


@pytest.mark.parametrize("body", ["404 page not found", '{"kind": "Status", "details": {}}'])
async def test_a_path_that_the_api_server_does_not_know_tells_of_no_policy(body: str) -> None:
    """It was taken for one that is off: no decision about an order of before counted as proven until a restart."""
    api = not_found(body)

    for question in (api.admission_policy, api.admission_policy_binding):
        with pytest.raises(ApiUnreachable, match="does not serve this kind"):
            await question(PROVING_POLICY)


async def test_a_policy_that_the_api_server_says_is_not_there_is_missing() -> None:
    with pytest.raises(NotFound):
        await not_found(json.dumps({"details": {"name": PROVING_POLICY}})).admission_policy(PROVING_POLICY)
