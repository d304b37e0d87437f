import math
from typing import Any

import pytest
from builders import a_policy, an_order_resource

from order_domain.policy import OrderClassSpec
from order_operator.orders.resource import OrderResource
from order_operator.orders.retention import (
    LONGEST_PASS_SECONDS,
    PASS_SECONDS,
    SHARE_OF_TIME,
    Why,
    between_passes,
    expired,
)
from order_operator.orders.tracking import Finished, fingerprint

NOW = 1_000_000.0


def an_end(
    name: str = "order",
    *,
    ago: float = 100.0,
    class_name: str | None = "standard",
    ttl: int | None = None,
    namespace: str = "shop",
) -> tuple[OrderResource, Finished]:
    """An order that finished `ago` seconds before `NOW`."""
    order = an_order_resource(name=name, uid=name, namespace=namespace)
    return order, Finished(fingerprint="", at=NOW - ago, class_name=class_name, ttl_seconds=ttl)


def gone(*ends: tuple[OrderResource, Finished], **policies: OrderClassSpec) -> list[str]:
    return [item.order.name for item in expired(ends, policies.get, NOW)]


def keeping(**fields: Any) -> OrderClassSpec:
    return a_policy(**fields)


def test_without_a_ttl_or_a_limit_an_order_stays() -> None:
    assert gone(an_end(ago=1e9), standard=keeping()) == []


@pytest.mark.parametrize(("ttl", "names"), [(0, ["order"]), (100, ["order"]), (101, [])])
def test_an_order_goes_when_the_time_of_its_own_spec_has_passed(ttl: int, names: list[str]) -> None:
    assert gone(an_end(ttl=ttl), standard=keeping()) == names


@pytest.mark.parametrize(("ttl", "names"), [(100, ["order"]), (101, [])])
def test_an_order_that_says_nothing_goes_when_the_time_of_its_class_has_passed(ttl: int, names: list[str]) -> None:
    assert gone(an_end(), standard=keeping(ttl_seconds_after_finished=ttl)) == names


@pytest.mark.parametrize(("own", "of_class"), [(101, 100), (200, 0)])
def test_the_spec_goes_before_the_class(own: int, of_class: int) -> None:
    assert gone(an_end(ttl=own), standard=keeping(ttl_seconds_after_finished=of_class)) == []


@pytest.mark.parametrize("class_name", ["deleted", None])
def test_an_order_whose_class_is_gone_goes_by_its_own_spec_alone(class_name: str | None) -> None:
    stays, goes = an_end("stays", class_name=class_name), an_end("goes", class_name=class_name, ttl=1)

    assert gone(stays, goes, standard=keeping(ttl_seconds_after_finished=0, history_limit=0)) == ["goes"]


def test_beyond_the_limit_the_oldest_go_first() -> None:
    ends = [an_end("second", ago=20), an_end("newest", ago=1), an_end("oldest", ago=30), an_end("third", ago=10)]

    assert gone(*ends, standard=keeping(history_limit=2)) == ["oldest", "second"]


def test_a_limit_of_nothing_keeps_nothing() -> None:
    assert gone(an_end(ago=0), standard=keeping(history_limit=0)) == ["order"]


def test_the_limit_counts_each_namespace_and_class_by_itself() -> None:
    ends = [
        an_end("a", namespace="shop"),
        an_end("b", namespace="outlet"),
        an_end("c", class_name="threshold"),
        an_end("d", namespace="shop", ago=1),
    ]

    assert gone(*ends, standard=keeping(history_limit=1), threshold=keeping(history_limit=1)) == ["a"]


def test_orders_whose_time_has_come_do_not_count_for_the_limit() -> None:
    ends = [an_end("expired", ago=1, ttl=0), an_end("older", ago=50), an_end("oldest", ago=60)]

    assert gone(*ends, standard=keeping(history_limit=2)) == ["expired"]


def test_of_two_that_finished_together_it_is_always_the_same_that_goes() -> None:
    one, other = an_end("one"), an_end("other")

    assert gone(one, other, standard=keeping(history_limit=1)) == gone(other, one, standard=keeping(history_limit=1))


def test_it_is_told_why_an_order_goes() -> None:
    policies = {"standard": keeping(history_limit=1)}
    ends = [an_end("aged", ttl=0), an_end("surplus", ago=50), an_end("kept", ago=1)]

    assert {item.order.name: item.why for item in expired(ends, policies.get, NOW)} == {
        "aged": Why.TTL,
        "surplus": Why.HISTORY_LIMIT,
    }


def a_finished_order(**changes: Any) -> OrderResource:
    finished = {"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
    status = {"phase": "Completed", "className": "standard", "conditions": [finished], **changes}
    return an_order_resource(status=status, spec={"className": "other", "ttlSecondsAfterFinished": 60})


def test_an_order_has_finished_when_its_workflow_closed() -> None:
    closed = a_finished_order(completionTime="1970-01-01T00:01:40.5Z")

    assert Finished.of(closed) == Finished(fingerprint(closed), at=100.5, class_name="standard", ttl_seconds=60)


def test_an_order_whose_workflow_is_not_known_has_finished_when_its_condition_says() -> None:
    assert Finished.of(a_finished_order()).at == 1_767_225_610


@pytest.mark.parametrize("conditions", [[], [{"type": "Finished", "status": "False", "lastTransitionTime": "x"}]])
def test_an_order_without_the_condition_never_expires(conditions: list[dict[str, str]]) -> None:
    forged = a_finished_order(conditions=conditions, completionTime="1970-01-01T00:00:00Z")

    assert Finished.of(forged).at == math.inf


def test_an_order_that_never_followed_a_class_counts_as_of_the_one_it_names() -> None:
    assert Finished.of(a_finished_order(className=None)).class_name == "other"


def test_looks_for_expired_orders_take_a_small_share_of_a_core_and_come_once_a_minute_at_least() -> None:
    assert between_passes(0.0) == PASS_SECONDS
    assert between_passes(0.1) == pytest.approx(0.1 / SHARE_OF_TIME)
    assert between_passes(10.0) == LONGEST_PASS_SECONDS
