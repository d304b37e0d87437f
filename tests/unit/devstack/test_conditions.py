"""A wait for a condition ends when it is True, and at nothing else."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from order_devstack import conditions
from order_devstack.conditions import condition, wait_for_condition
from order_devstack.errors import CommandFailed, DevstackError
from order_devstack.platform import wait_for_crds

CONDITION = {"type": "Established", "status": "True"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_POLL_SECONDS", 0.0)


def a_crd(status: Any = None) -> dict[str, Any]:
    spec = {"group": "devstack.test", "names": {"plural": "things"}, "versions": [{"name": "v1", "storage": True}]}
    return {
        "metadata": {"name": "things.devstack.test"},
        "spec": spec,
        **({} if status is None else {"status": status}),
    }


def a_list(*items: dict[str, Any]) -> str:
    return json.dumps({"kind": "List", "items": items})


def kubectl(*answers: str | CommandFailed) -> Callable[..., str]:
    """A client that gives one answer after the other, and that ends `wait` at a null as the real one does."""
    left: Iterator[str | CommandFailed] = iter(answers)

    def run(*arguments: str) -> str:
        if arguments[0] == "wait":
            raise failure(".status.conditions accessor error: <nil> is of the type <nil>")
        if "--raw" in arguments:
            return "{}"
        answer = next(left)
        if isinstance(answer, CommandFailed):
            raise answer
        return answer

    return run


def failure(text: str) -> CommandFailed:
    return CommandFailed("kubectl", 1, "", text)


@pytest.mark.parametrize(
    "not_yet",
    [
        a_list(),
        json.dumps({"kind": "List", "items": None}),
        a_list(a_crd()),
        a_list(a_crd({"conditions": None})),
        a_list(a_crd({"conditions": []})),
        a_list(a_crd({"conditions": [{**CONDITION, "status": "False"}]})),
        a_list(a_crd({"conditions": [CONDITION]}), a_crd({"conditions": None})),
        failure("the server has received too many requests"),
    ],
    ids=["nothing", "null list", "no status", "null", "empty", "false", "one of two", "failure"],
)
def test_the_wait_for_new_kinds_goes_on_until_every_one_is_established(not_yet: str | CommandFailed) -> None:
    established = a_list(a_crd({"conditions": [CONDITION]}))
    calls = kubectl(not_yet, established)

    wait_for_crds(calls, print)

    with pytest.raises(StopIteration):
        calls("get", "crd")  # both answers were asked for


def test_a_single_object_can_be_waited_for() -> None:
    crd = a_crd({"conditions": [CONDITION]})

    found = wait_for_condition(kubectl(json.dumps(crd)), "Established", "crd", "x", within_seconds=1, say=print)

    assert found == [crd]


def test_a_wait_in_vain_says_what_is_missing() -> None:
    with pytest.raises(DevstackError, match=r"in vain for Established of things\.devstack\.test"):
        wait_for_condition(kubectl(a_list(a_crd())), "Established", "crd", within_seconds=-1, say=print)


def test_a_wait_in_vain_for_a_command_that_fails_says_its_error() -> None:
    with pytest.raises(CommandFailed, match="forbidden"):
        wait_for_condition(kubectl(failure("forbidden")), "Established", "crd", within_seconds=-1, say=print)


def test_a_wait_that_takes_long_tells_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_SILENT_SECONDS", 0.0)
    said: list[str] = []
    answers = kubectl(a_list(a_crd()), a_list(a_crd({"conditions": [CONDITION]})))

    wait_for_condition(answers, "Established", "crd", within_seconds=60, say=said.append)

    assert said == ["waiting for Established of things.devstack.test, 0 of at most 60 s"]


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": []}])
def test_a_condition_that_is_not_there_yet_is_empty(status: dict[str, Any] | None) -> None:
    assert condition(status, "Ready") == {}
