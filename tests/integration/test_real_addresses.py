"""Addresses as people have them, from the resource to the parcel, the mail and the status."""

import sqlite3
from typing import Any

import pytest
from cluster import Cluster

ANA = {"name": "Ana Torres", "line1": "1 Main Street", "city": "Springfield", "postalCode": "62701", "country": "US"}


def kept(cluster: Cluster, question: str) -> str:
    """One text that the simulated providers keep of the order `order`."""
    uid = cluster.order()["metadata"]["uid"]
    store = sqlite3.connect(f"file:{cluster.stack.root / 'data' / 'providers.db'}?mode=ro", uri=True)
    try:
        ((text,),) = store.execute(question, (f"{uid}/%",)).fetchall()
    finally:
        store.close()
    return str(text)


@pytest.mark.parametrize(
    ("address", "currency", "town"),
    [
        pytest.param(
            {**ANA, "state": "IL", "company": "Roe & Sons"}, "USD", "Springfield, IL 62701", id="with a state"
        ),
        pytest.param({**ANA, "phone": "+1 217 555 0100"}, "USD", "Springfield 62701", id="with a telephone number"),
        pytest.param(
            {"name": "Chan Tai Man", "line1": "1 Queen's Road Central", "city": "Hong Kong", "country": "HK"},
            "HKD",
            "Hong Kong",
            id="without a postal code",
        ),
        pytest.param({**ANA, "name": "𠮷野 太郎 😀"}, "USD", "Springfield 62701", id="of other planes"),
    ],
)
def test_an_order_is_shipped_to_the_address_as_it_stands(
    cluster: Cluster, address: dict[str, Any], currency: str, town: str
) -> None:
    cluster.apply(className="standard", shippingAddress=address, currency=currency, total=0)

    status = cluster.reaches("Completed")

    assert status["shippingAddress"] == address
    label = kept(cluster, "SELECT text FROM labels WHERE key LIKE ?").splitlines()
    assert label[0] == address["name"]
    assert town in label
    assert {address.get("company"), address["country"]} - {None} <= set(label)
    assert "\n".join(label) in kept(cluster, "SELECT body FROM mails WHERE key LIKE ?")


def test_a_state_that_is_added_while_an_order_waits_is_on_the_parcel(cluster: Cluster) -> None:
    cluster.apply(total=150_000)
    cluster.reaches("Waiting")
    cluster.patch("order", shippingAddress={"state": "IL", "postalCode": None})
    cluster.eventually(lambda status: status["shippingAddress"].get("state") == "IL")

    cluster.patch("order", approval={"decision": "Approved", "by": "bob"})

    assert "postalCode" not in cluster.reaches("Completed")["shippingAddress"]
    assert "Springfield, IL" in kept(cluster, "SELECT text FROM labels WHERE key LIKE ?").splitlines()
