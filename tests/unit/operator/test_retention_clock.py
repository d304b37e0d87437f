"""By which clock finished orders are deleted, and on whose word."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builders import an_observation, an_order_resource
from kubernetes.aio import client

from order_operator.cluster.api import KubernetesApi
from order_operator.orders import retention
from order_operator.orders.classes import OrderClasses
from order_operator.orders.observation import Observation
from order_operator.orders.resource import OrderResource
from order_operator.orders.retention import Retention
from order_operator.orders.tracking import Finished
from order_operator.temporal.connection import TemporalConnection

ENDED, TTL = 1_000_000.0, 600


class ApiServer:
    """Has a clock, and deletes."""

    def __init__(self, at: float | None) -> None:
        self.at = at
        self.asked = 0
        self.deleted: list[str] = []

    async def time(self) -> float | None:
        self.asked += 1
        return self.at

    async def delete(self, order: OrderResource) -> None:
        self.deleted.append(order.name)


async def one_pass(
    api: ApiServer, ours: float, monkeypatch: pytest.MonkeyPatch, run: Observation | None = None
) -> list[str]:
    """What is deleted of one order that has ended, while our clock says `ours`; `run` is what Temporal has of it."""

    async def describe(*_: object) -> Observation | None:
        return run

    monkeypatch.setattr(retention, "describe_order", describe)
    monkeypatch.setattr(retention, "DELETE_SECONDS", 0.0)
    finished = [(an_order_resource(), Finished(fingerprint=b"", at=ENDED, class_name=None, ttl_seconds=TTL))]
    temporal = cast("TemporalConnection", SimpleNamespace(problem=None, client=None))
    await Retention(cast("KubernetesApi", api), temporal, OrderClasses(), lambda: finished).take(ours)
    return api.deleted


async def test_an_operator_whose_clock_is_ahead_deletes_no_order_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An order of ten minutes was deleted in the second in which it ended."""
    api = ApiServer(at=ENDED + 1)

    assert await one_pass(api, ENDED + TTL, monkeypatch) == []


async def test_an_order_whose_time_has_come_by_both_clocks_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await one_pass(ApiServer(at=ENDED + TTL), ENDED + TTL + 1, monkeypatch) == ["order-1"]


async def test_an_order_whose_workflow_runs_is_not_deleted_whatever_its_status_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A status can be forged: only Temporal is believed before something is deleted."""
    api = ApiServer(at=ENDED + TTL)

    assert await one_pass(api, ENDED + TTL, monkeypatch, an_observation()) == []


async def test_an_api_server_that_tells_no_time_holds_no_deletion_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await one_pass(ApiServer(at=None), ENDED + TTL, monkeypatch) == ["order-1"]


async def test_the_api_server_is_asked_for_its_time_only_where_something_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = ApiServer(at=ENDED)

    await one_pass(api, ENDED + 1, monkeypatch)

    assert api.asked == 0


class Version:
    """Answers with these headers."""

    def __init__(self, headers: Mapping[str, str], status: int = 200) -> None:
        self._headers, self._status = headers, status

    async def get_code_with_http_info(self, **_: Any) -> Any:
        if self._status != 200:
            refused = client.ApiException(status=self._status, reason="Forbidden")
            refused.headers = dict(self._headers)
            raise refused
        return SimpleNamespace(headers=self._headers)


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize(
    ("headers", "at"), [({"Date": "Thu, 01 Jan 1970 00:16:40 GMT"}, 1_000.0), ({}, None), ({"Date": "now"}, None)]
)
async def test_every_answer_of_the_api_server_tells_its_time(
    headers: Mapping[str, str], at: float | None, status: int
) -> None:
    api = KubernetesApi(cast("client.ApiClient", object()))
    api._version = cast("client.VersionApi", Version(headers, status))

    assert await api.time() == at


class Proxy:
    """Answers in the API server's place."""

    def __init__(self, answer: Exception) -> None:
        self._answer = answer

    async def get_code_with_http_info(self, **_: Any) -> Any:
        raise self._answer


@pytest.mark.parametrize(
    "answer", [client.ApiException(status=404), client.ApiException(status=409), ValueError("no version")]
)
async def test_an_odd_answer_instead_of_the_version_tells_no_time(answer: Exception) -> None:
    """It ended the operator, each time that something was due."""
    api = KubernetesApi(cast("client.ApiClient", object()))
    api._version = cast("client.VersionApi", Proxy(answer))

    assert await api.time() is None
