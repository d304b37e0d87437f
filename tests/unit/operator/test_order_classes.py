import logging

import pytest
from builders import a_policy, an_order_spec

from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, EARLIER_DEFAULT_CLASS_ANNOTATION
from order_operator.cluster.conditions import Reason
from order_operator.orders.classes import OrderClass, OrderClasses, WatchedClasses
from order_operator.problem import Problem


def a_class(name: str, *, default: bool = False, created: str = "2026-01-01T00:00:00Z", **changes: object) -> dict:
    labels = {DEFAULT_CLASS_LABEL: "true"} if default else {}
    metadata = {"name": name, "generation": 4, "creationTimestamp": created, "labels": labels}
    return {"metadata": metadata, "spec": a_policy().model_dump(mode="json"), **changes}


def resolved(*bodies: dict, named: str | None = None) -> OrderClass | Problem:
    classes = OrderClasses()
    for body in bodies:
        classes.put(body)
    return classes.resolve(an_order_spec(class_name=named))


def name_of(found: OrderClass | Problem) -> str:
    assert isinstance(found, OrderClass)
    return found.name


def reason_of(found: OrderClass | Problem) -> str:
    assert isinstance(found, Problem)
    assert found.stalled
    return found.reason


def test_an_order_follows_the_class_that_it_names() -> None:
    found = resolved(a_class("standard", default=True), a_class("threshold"), named="threshold")

    assert isinstance(found, OrderClass)
    assert (found.name, found.generation, found.spec) == ("threshold", 4, a_policy())


def test_an_order_without_a_class_follows_the_default_one() -> None:
    assert name_of(resolved(a_class("threshold"), a_class("standard", default=True))) == "standard"


def test_the_annotation_of_earlier_releases_makes_a_default_class_too() -> None:
    earlier = a_class("standard")
    earlier["metadata"]["annotations"] = {EARLIER_DEFAULT_CLASS_ANNOTATION: "true"}

    assert name_of(resolved(a_class("threshold"), earlier)) == "standard"


def test_the_default_class_of_the_namespace_comes_before_that_of_the_cluster() -> None:
    classes = OrderClasses()
    for body in (a_class("standard", default=True), a_class("threshold")):
        classes.put(body)

    assert name_of(classes.resolve(an_order_spec(class_name=None), "threshold")) == "threshold"
    assert name_of(classes.resolve(an_order_spec(class_name="standard"), "threshold")) == "standard"
    assert reason_of(classes.resolve(an_order_spec(class_name=None), "missing")) == Reason.CLASS_NOT_FOUND


def test_of_several_default_classes_the_newest_counts() -> None:
    old = a_class("old", default=True, created="2026-01-01T00:00:00Z")
    new = a_class("new", default=True, created="2026-02-01T00:00:00Z")

    assert name_of(resolved(new, old)) == "new"


def test_a_default_class_that_became_invalid_leaves_the_orders_to_no_older_default() -> None:
    """They were carried out by the former default class, which may ask nobody."""
    old = a_class("old", default=True, created="2026-01-01T00:00:00Z")
    new = a_class("new", default=True, created="2026-02-01T00:00:00Z", spec={"pipeline": ["Ship"]})

    found = resolved(old, new)

    assert reason_of(found) == Reason.CLASS_INVALID
    assert "OrderClass new is invalid" in found.message  # type: ignore[union-attr]


def test_without_a_default_class_the_order_waits_for_a_person() -> None:
    found = resolved(a_class("standard"))

    assert reason_of(found) == Reason.NO_DEFAULT_CLASS
    assert DEFAULT_CLASS_LABEL in found.message  # type: ignore[union-attr]


def test_a_class_that_does_not_exist_is_named_beside_those_that_do() -> None:
    found = resolved(a_class("b"), a_class("a"), named="express")

    assert reason_of(found) == Reason.CLASS_NOT_FOUND
    assert found.message == "spec.className: there is no OrderClass express; create it or use one of: a, b"  # type: ignore[union-attr]


def test_a_cluster_without_classes_says_so() -> None:
    found = resolved(named="express")

    assert isinstance(found, Problem)
    assert found.message.endswith("use one of: none")


def test_an_invalid_class_is_refused_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = resolved(a_class("odd", spec={"pipeline": ["Ship"]}), named="odd")

    assert reason_of(found) == Reason.CLASS_INVALID
    assert "must start with Receive" in found.message  # type: ignore[union-attr]


def test_a_class_without_a_spec_is_invalid_not_a_crash() -> None:
    assert reason_of(resolved({"metadata": {"name": "empty"}}, named="empty")) == Reason.CLASS_INVALID


def test_an_invalid_class_becomes_usable_once_it_is_repaired() -> None:
    assert name_of(resolved(a_class("c", spec={}), a_class("c"), named="c")) == "c"


def test_a_class_that_became_invalid_is_not_used_any_more() -> None:
    assert reason_of(resolved(a_class("c"), a_class("c", spec={}), named="c")) == Reason.CLASS_INVALID


def test_a_removed_class_is_not_used_any_more() -> None:
    classes = OrderClasses()
    classes.put(a_class("c"))

    classes.remove("c")

    assert reason_of(classes.resolve(an_order_spec(class_name="c"))) == Reason.CLASS_NOT_FOUND


def test_a_list_of_the_classes_makes_good_what_the_watch_has_missed() -> None:
    classes = OrderClasses()
    classes.put(a_class("gone"))

    assert classes.replace([a_class("standard")])
    assert not classes.replace([a_class("standard")])
    assert classes.spec("gone") is None
    assert classes.spec("standard") == a_policy()


class Statuses:
    """Of classes; nobody looks at them here."""

    def put(self, _body: object) -> None:
        pass

    def remove(self, _name: str) -> None:
        pass


def test_a_class_that_only_a_list_brings_is_followed_and_told_of_once() -> None:
    """B21: the orders that waited for it waited until the operator started again."""
    classes, changes = OrderClasses(), []
    watched = WatchedClasses(classes, lambda: changes.append(classes.spec("new")), Statuses())

    for _ in range(2):
        watched.listed([a_class("new")], 9)

    assert name_of(classes.resolve(an_order_spec(class_name="new"))) == "new"
    assert changes == [a_policy()]


def at(version: int, body: dict) -> dict:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}


@pytest.fixture
def watched() -> tuple[WatchedClasses, OrderClasses]:
    classes = OrderClasses()
    return WatchedClasses(classes, lambda: None, Statuses()), classes


STRICT, LAX = a_policy(historyLimit=1), a_policy(historyLimit=2)


def with_policy(name: str, policy: object) -> dict:
    return a_class(name, spec=policy.model_dump(mode="json"))  # type: ignore[attr-defined]


def test_a_list_that_is_older_than_what_the_watch_brought_changes_no_class(
    watched: tuple[WatchedClasses, OrderClasses],
) -> None:
    """It was answered, the class was edited, the watch was quicker: orders began by the former policy for a minute."""
    there, classes = watched
    there.put(at(7, with_policy("edited", STRICT)))
    there.put(at(9, a_class("new")))
    there.put(at(5, a_class("gone")))
    there.remove(at(10, a_class("gone")))

    there.listed([at(3, with_policy("edited", LAX)), at(5, a_class("gone"))], 6)

    assert classes.spec("edited") == STRICT
    assert classes.names == ["edited", "new"]


def test_news_of_the_watch_that_is_older_than_a_list_changes_no_class(
    watched: tuple[WatchedClasses, OrderClasses],
) -> None:
    there, classes = watched
    there.listed([at(7, with_policy("edited", STRICT)), at(8, a_class("created-again"))], 8)

    there.put(at(3, with_policy("edited", LAX)))
    there.remove(at(6, a_class("created-again")))

    assert classes.spec("edited") == STRICT
    assert classes.names == ["created-again", "edited"]
