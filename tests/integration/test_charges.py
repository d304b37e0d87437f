"""What an order costs beside its lines, and decisions about the amount."""

from typing import Any

import pytest
from cluster import Cluster, condition
from pages import Reader, blocks, sections

from order_devstack.errors import CommandFailed

CHARGES = [
    {"chargeID": "shipping", "kind": "Shipping", "amountMinor": 500},
    {"chargeID": "vat", "kind": "Tax", "amountMinor": 330},
    {"chargeID": "welcome", "kind": "Discount", "amountMinor": -100},
]
APPROVED: dict[str, Any] = {"decision": "Approved", "by": "maria"}


def test_shipping_tax_and_discount_are_part_of_the_total_and_of_what_is_charged(cluster: Cluster) -> None:
    before = cluster.stock()

    cluster.apply(total=5_000, className="standard", charges=CHARGES, totalMinor=5_730)

    status = cluster.reaches("Completed")
    assert (status["total"], status["totalMinor"]) == ("57.30 USD", 5_730)
    assert status["payment"]["capturedMinor"] == 5_730
    assert list(cluster.charges().values()) == [(5_730, 0)]
    after = cluster.stock()
    assert (after["sold"], after["reserved"]) == (before["sold"] + 1, before["reserved"])


def test_an_order_that_is_undone_gives_back_its_charges_too(cluster: Cluster) -> None:
    address = {"name": "Ana", "line1": "1 Main Street", "city": "Nowhere", "postalCode": "00000", "country": "US"}

    cluster.apply(total=5_000, charges=CHARGES, shippingAddress=address)

    cluster.reaches("Failed")
    assert list(cluster.charges().values()) == [(5_730, 5_730)]


def test_a_fee_can_carry_an_order_over_the_threshold(cluster: Cluster) -> None:
    cluster.apply(total=100_000, charges=[{"chargeID": "fee", "kind": "Fee", "amountMinor": 1}])

    assert "1000.01 USD" in cluster.reaches("Waiting")["pendingAction"]["message"]


def test_a_discount_added_while_the_order_waits_is_not_charged(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")

    cluster.patch("order", charges=[{"chargeID": "sorry", "kind": "Discount", "amountMinor": -1_000}])
    changed = cluster.eventually(lambda status: status.get("totalMinor") == 149_000)
    cluster.patch("order", approval={**APPROVED, "totalMinor": 149_000})

    assert condition(changed, "SpecApplied")["status"] == "True"
    cluster.reaches("Completed")
    assert list(cluster.charges().values()) == [(149_000, 0)]


def test_an_approval_of_another_amount_than_the_total_is_refused_at_once(cluster: Cluster) -> None:
    cluster.apply(total=150_000, charges=CHARGES)
    cluster.reaches("Waiting")

    with pytest.raises(CommandFailed, match=r"spec\.approval\.totalMinor.*is not the total of this order's lines"):
        cluster.patch("order", approval={**APPROVED, "totalMinor": 150_000})

    cluster.patch("order", approval={**APPROVED, "totalMinor": 150_730})
    assert cluster.reaches("Completed")["approval"]["totalMinor"] == 150_730


def test_an_approval_without_the_amount_of_a_changed_order_is_completed_by_the_command_of_the_page(
    cluster: Cluster, tmp_path: Any
) -> None:
    cluster.apply("NAME".lower(), total=150_000)
    cluster.reaches("Waiting", "name")
    cluster.patch("name", charges=CHARGES)
    cluster.eventually(lambda status: status.get("totalMinor") == 150_730, "name")

    cluster.patch("name", approval=APPROVED)

    refused = cluster.eventually(lambda status: condition(status, "SpecApplied").get("status") == "False", "name")
    applied = condition(refused, "SpecApplied")
    assert applied["reason"] == "AmountNotStated"
    assert "totalMinor 150730" in applied["message"]
    assert refused["observedGeneration"] == 3
    assert refused["phase"] == "Waiting"
    (command, *_) = blocks(sections("docs/status.md")["Deciding about an amount"])
    Reader(cluster.stack, tmp_path, cluster.namespace).run(command.replace("NAME", "name").replace("5400", "150730"))
    status = cluster.reaches("Completed", "name")
    assert (status["approval"]["by"], status["approval"]["totalMinor"]) == ("maria", 150_730)
    assert condition(status, "SpecApplied")["status"] == "True"
    assert list(cluster.charges().values()) == [(150_730, 0)]
