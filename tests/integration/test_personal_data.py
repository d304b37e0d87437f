"""Where a person's data must never be: logs, Events, metrics, and what Temporal lists."""

import json
import urllib.request

from cluster import Cluster

PLANTED = {
    "name": "Philomena Garlick",
    "street": "19 Thimble Row",
    "city": "Nether Wallop-on-Sea",
    "postal code": "ZX8 1QQ",
    "mail": "philomena@garlick.example.com",
    "token": "tok_garlickplanted",
    "reason": "because Philomena asked by telephone",
}
ADDRESS = {
    "name": PLANTED["name"],
    "line1": PLANTED["street"],
    "city": PLANTED["city"],
    "postalCode": PLANTED["postal code"],
    "country": "GB",
}


def test_no_log_event_metric_or_search_attribute_holds_anything_of_a_person(cluster: Cluster) -> None:
    """An order that is edited, decided with a reason, and one that is declined."""
    spec = {
        "customer": {"id": "CUST-GARLICK", "email": PLANTED["mail"]},
        "shippingAddress": ADDRESS,
        "payment": {"method": PLANTED["token"]},
    }
    cluster.apply("approved", total=150_000, **spec)
    cluster.apply("declined", **{**spec, "payment": {"method": "tok_chargeDeclined"}})
    cluster.reaches("Waiting", "approved")
    cluster.patch("approved", approval={"decision": "Approved", "by": "maria", "reason": PLANTED["reason"]})
    cluster.reaches("Completed", "approved")
    cluster.eventually(lambda status: bool(status.get("completionTime")), "declined")

    places = {file.name: file.read_text(errors="replace") for file in (cluster.stack.root / "log").glob("*.log")}
    places["Events"] = cluster.kubectl("get", "events.events.k8s.io", "--output=json")
    for program in ("operator-metrics", "worker-metrics", "shipping-worker-metrics"):
        with urllib.request.urlopen(cluster.stack.addresses[program], timeout=10) as answer:  # noqa: S310
            places[program] = answer.read().decode()
    places["search attributes"] = json.dumps([searchable(cluster, each) for each in cluster.workflows()])

    assert "operator.log" in places
    assert "OrderStatus" in places["search attributes"]
    found = {(place, what) for place, text in places.items() for what, planted in PLANTED.items() if planted in text}
    assert found == set()


def searchable(cluster: Cluster, identifier: str) -> object:
    """What a workflow is found by, decoded."""
    return cluster.workflow(identifier)["workflowExecutionInfo"]["searchAttributes"]
