"""Other installations of a cluster whose operators watch the same namespaces."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest
from kubernetes.aio import client
from prometheus_client import REGISTRY

from order_operator.cluster import neighbours
from order_operator.cluster.neighbours import OPERATOR_LABEL, WATCHES_ANNOTATION, Neighbours, watched


class Leases:
    """Those of all operators of a cluster, by namespace/name, each with what it watches and its version."""

    def __init__(self, **watches: str) -> None:
        self.watches = {name.replace("__", "/"): where for name, where in watches.items()}
        self.versions = dict.fromkeys(self.watches, 1)
        self.refused = 0

    def renew(self, *names: str) -> None:
        for name in names:
            self.versions[name] += 1

    async def list_lease_for_all_namespaces(self, *, label_selector: str, **_: object) -> client.V1LeaseList:
        assert label_selector == f"{OPERATOR_LABEL}=true"
        if self.refused:
            raise client.ApiException(status=self.refused, reason="refused")
        return client.V1LeaseList(items=[self._lease(name) for name in self.watches])

    def _lease(self, name: str) -> client.V1Lease:
        namespace, _, own = name.partition("/")
        metadata = client.V1ObjectMeta(
            namespace=namespace,
            name=own,
            resource_version=str(self.versions[name]),
            annotations={WATCHES_ANNOTATION: self.watches[name]} if self.watches[name] else None,
        )
        return client.V1Lease(metadata=metadata)


def looking(leases: Leases, namespaces: Sequence[str] = ()) -> Neighbours:
    found = Neighbours(cast("Any", None), "shop/operator", namespaces)
    found._leases = cast("Any", leases)
    return found


async def shared(ours: Sequence[str], theirs: str) -> dict[str, str]:
    """What the second look finds, between an installation that watches `theirs` and one that watches `ours`."""
    leases = Leases(shop__operator=watched(ours), outlet__operator=theirs)
    neighbours_of_ours = looking(leases, ours)
    await neighbours_of_ours.look()
    leases.renew("shop/operator", "outlet/operator")
    return await neighbours_of_ours.look()


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        ([], "*", "*"),
        ([], "team-a,team-b", "team-a,team-b"),
        (["team-a"], "*", "team-a"),
        (["team-b", "team-a"], "team-a,team-c", "team-a"),
    ],
)
async def test_an_installation_that_watches_the_same_namespaces_is_found(
    ours: Sequence[str], theirs: str, both: str
) -> None:
    assert await shared(ours, theirs) == {"outlet/operator": both}


@pytest.mark.parametrize(("ours", "theirs"), [(["team-a"], "team-b"), ([], ""), (["team-a"], "")])
async def test_one_that_watches_others_or_does_not_tell_is_none(ours: Sequence[str], theirs: str) -> None:
    assert await shared(ours, theirs) == {}


async def test_a_lease_that_nobody_renews_is_left_from_an_installation_that_is_gone() -> None:
    leases = Leases(shop__operator="*", outlet__operator="*")
    ours = looking(leases)
    await ours.look()
    leases.renew("shop/operator")

    assert await ours.look() == {}


def neighbours_told() -> float | None:
    return REGISTRY.get_sample_value("orders_operator_neighbours")


async def test_it_is_told_once_and_told_again_when_it_is_gone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases acted on the same orders, and nobody was warned."""
    caplog.set_level(logging.INFO)
    leases = Leases(shop__operator="*", outlet__operator="team-a")
    figures: list[float | None] = []

    async def sleep(_seconds: float) -> None:
        figures.append(neighbours_told())
        if len(figures) < 4:
            leases.renew("outlet/operator")
        if len(figures) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(neighbours.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await looking(leases).run()

    assert figures == [0, 1, 1, 1, 0]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert caplog.records[0].__dict__["namespaces"] == "team-a"


async def test_without_the_right_to_look_nobody_looks_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    leases = Leases()
    leases.refused = 403

    await asyncio.wait_for(looking(leases).run(), 5)

    assert "no right to list Leases" in caplog.text


async def test_an_api_server_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    leases = Leases(shop__operator="*", outlet__operator="*")
    ours = looking(leases)
    await ours.look()
    leases.refused = 503

    async def sleep(_seconds: float) -> None:
        if not leases.refused:
            raise asyncio.CancelledError
        leases.refused = 0
        leases.renew("outlet/operator")

    monkeypatch.setattr(neighbours.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await ours.run()

    assert neighbours_told() == 1
