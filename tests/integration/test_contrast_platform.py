"""The last row of the table in docs/contrast.md: the same failures and a dying process, and every order finishes."""

import json
from pathlib import Path

import pytest
from cluster import ORDERS, Cluster
from pages import Reader, blocks, sections

# Twice a hundred orders is much for two cores: those without the dying process are part of the short suite.
pytestmark = pytest.mark.long


def test_of_a_hundred_orders_all_finish_and_are_charged_and_shipped_once(cluster: Cluster, tmp_path: Path) -> None:
    (block,) = blocks(sections("docs/contrast.md")["The same failures on the platform"])

    Reader(cluster.stack, tmp_path, cluster.namespace).run(block)

    orders = json.loads(cluster.kubectl("get", ORDERS, "--output=json"))["items"]
    assert [len(order["status"]["shipments"]) for order in orders] == [1] * 100
    assert sorted(cluster.charges().values()) == [(4_999, 0)] * 100
