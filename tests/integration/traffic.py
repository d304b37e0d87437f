"""Orders of every kind around a fault: some wait when it comes, some are made, approved and deleted while it lasts, one
comes after it."""

from collections.abc import Mapping
from types import MappingProxyType

from cluster import Cluster
from order_history import OrderHistory

PLAIN, DEAR = 50_000, 150_000
"""Minor units; the dear ones wait for an approval."""
RETURN_SECONDS = 90.0
"""Until all is well after a fault: clients wait ten seconds at the longest, a watch that fell silent 70."""


class Traffic:
    """`before`, `during`, then `after` a fault."""

    def __init__(self, shop: Cluster, history: OrderHistory) -> None:
        self._shop = shop
        self._history = history

    def before(self) -> None:
        """Three orders wait: one is to be approved, one to be deleted, one is left alone."""
        for name in ("approved", "dropped", "left"):
            self._shop.apply(name, total=DEAR)
        for name in ("approved", "dropped", "left"):
            self._shop.reaches("Waiting", name)

    def during(self) -> None:
        """One is made, one approved, one deleted."""
        self._shop.apply("made", total=PLAIN)
        approve(self._shop, "approved")
        self._shop.delete("dropped", "--wait=false")

    def after(self, others: Mapping[str, int] = MappingProxyType({})) -> None:
        """All of it comes to its end, with `others` that the test made (name -> price), and nothing happened that must
        not."""
        self._shop.apply("later", total=PLAIN)
        for name in ("made", "approved", "later", *others):
            self._shop.eventually(lambda status: status.get("phase") == "Completed", name, RETURN_SECONDS)
        self._shop.eventually(lambda _: self._shop.order("dropped") == {}, "dropped", RETURN_SECONDS)
        assert self._shop.status("left")["phase"] == "Waiting"
        paid = {"made": PLAIN, "approved": DEAR, "later": PLAIN, "dropped": 0, "left": 0, **others}
        nothing_wrong(self._shop, self._history, paid)


def approve(shop: Cluster, name: str = "order") -> None:
    """In the spec, for the amount that it costs."""
    shop.patch(name, approval={"decision": "Approved", "by": "maria", "totalMinor": DEAR})


def nothing_wrong(shop: Cluster, history: OrderHistory, paid: dict[str, int]) -> None:
    """Each order has exactly one workflow, keeps exactly the money that it should, in minor units, and no finalizer
    once it has ended; stock and audit trail fit; nothing ever went backward."""
    uids = {name: versions[0]["metadata"]["uid"] for name, versions in history.versions().items()}
    assert set(uids) == set(paid)
    shop.until(lambda: len(shop.workflows()) == len(paid))  # visibility may lag
    assert sorted(shop.workflows()) == sorted(f"order/{shop.namespace}/{name}/{uid}" for name, uid in uids.items())
    charges = shop.charges()
    kept = {name: charges[uid][0] - charges[uid][1] for name, uid in uids.items()}
    assert kept == paid, kept
    for name in paid:
        if shop.status(name).get("phase") == "Completed":
            shop.until(lambda name=name: not shop.order(name)["metadata"].get("finalizers"))  # type: ignore[misc]
    stock = shop.stock()
    assert stock["on_hand"] + stock["reserved"] + stock["sold"] == stock["initial"] + stock["restocked"]
    assert "no flaws" in shop.audit()
    flaws = history.flaws()
    assert not flaws, flaws
