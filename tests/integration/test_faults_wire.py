"""What lies between the operator and its servers is slow, silent or broken for a while: orders go on, and nothing
happens twice."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from cluster import Cluster
from order_history import OrderHistory
from toxiproxy import ANSWERS, REQUESTS, Link
from traffic import DEAR, Traffic, approve, nothing_wrong
from wiring import Wiring

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Trouble:
    """One fault of one link."""

    link: str
    fault: Callable[[Link], AbstractContextManager[None]]
    seconds: float
    """How long it lasts."""
    ends_the_operator: bool = False
    """It lasts longer than the leader's deadline of ten seconds: the process exits and is started again."""

    def begin(self, wired: Wiring) -> AbstractContextManager[None]:
        """Now."""
        return self.fault(getattr(wired, self.link))


TROUBLES = {
    "the API server is slow": Trouble("kubernetes", lambda link: link.latency(150), 3),
    "the way to the API server is narrow": Trouble("kubernetes", lambda link: link.bandwidth(20), 5),
    "connections to the API server are reset": Trouble("kubernetes", lambda link: link.resets(), 4),
    "answers of the API server are cut off": Trouble("kubernetes", lambda link: link.cut_after(3_000), 4),
    "the API server is away": Trouble("kubernetes", lambda link: link.down(), 5),
    "the API server is away for longer": Trouble("kubernetes", lambda link: link.down(), 20, ends_the_operator=True),
    "the API server says nothing": Trouble("kubernetes", lambda link: link.silence(), 5),
    "the API server says nothing for longer": Trouble(
        "kubernetes", lambda link: link.silence(), 20, ends_the_operator=True
    ),
    "connections to Temporal are reset": Trouble("temporal", lambda link: link.resets(), 4),
    "answers of Temporal are cut off": Trouble("temporal", lambda link: link.cut_after(3_000), 4),
    "Temporal is away": Trouble("temporal", lambda link: link.down(), 10),
    "Temporal says nothing": Trouble("temporal", lambda link: link.silence(), 10),
    "Temporal does not hear": Trouble("temporal", lambda link: link.silence(REQUESTS), 6),
    "Temporal hears but cannot answer": Trouble("temporal", lambda link: link.silence(ANSWERS), 6),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_orders_go_on_after(name: str, wired: Wiring, shop: Cluster, history: OrderHistory) -> None:
    trouble, traffic = TROUBLES[name], Traffic(shop, history)
    traffic.before()
    operator = wired.stack.pid("operator")
    with wired.kubelet():
        with trouble.begin(wired):
            over = time.monotonic() + trouble.seconds
            traffic.during()
            time.sleep(max(0.0, over - time.monotonic()))  # how long it lasts is the fault

        traffic.after()
    assert (wired.stack.pid("operator") != operator) is trouble.ends_the_operator


@pytest.mark.parametrize("milliseconds", [10, 50, 150])
@pytest.mark.parametrize("link", ["temporal", "kubernetes"])
def test_an_operator_that_starts_far_away_takes_nothing_off_its_open_orders(
    link: str, milliseconds: int, wired: Wiring, shop: Cluster, history: OrderHistory
) -> None:
    """B1: with 20 ms of round trip to Temporal, each start took finalizer and progress off every open order."""
    shop.apply(total=DEAR)
    shop.reaches("Waiting")
    wired.stack.kill("operator")
    before = shop.order()["metadata"]["resourceVersion"]

    with getattr(wired, link).latency(milliseconds):
        wired.stack.start("operator")
        shop.until(lambda: shop.scans("full") > 0)
        shop.until(lambda: shop.scans("sweep") > 0)
        assert shop.order()["metadata"]["resourceVersion"] == before

        approve(shop)
        shop.reaches("Completed")
    nothing_wrong(shop, history, {"order": DEAR})
