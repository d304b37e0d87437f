"""What Helm says after an installation: commands that work from the disk of somebody who has only the chart."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import CHARTS

from order_domain.judgement import judge
from order_domain.order import OrderSpec
from order_domain.stock_item import StockItemSpec


def notes(helm: Path, *arguments: str) -> str:
    chart = CHARTS / "order-platform"
    command = [
        helm,
        "install",
        "order-platform",
        chart,
        "--dry-run=client",
        "--namespace",
        "order-platform",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cluster unreachable" in done.stderr:
        pytest.skip("a Helm 3 shows them to nobody without a cluster")
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:")[1]


def manifests(text: str) -> dict[str, Any]:
    found = re.findall(r"<<'END'\n(.*?)\nEND\n", text, re.DOTALL)
    return {each["kind"]: each for each in map(yaml.safe_load, found)}


def test_the_first_order_is_of_the_article_that_is_put_in_stock_first(helm: Path) -> None:
    """The order named a file of the repository, and an article that nobody kept: it ended as Invalid."""
    text = notes(helm)
    stock, order = manifests(text)["StockItem"], manifests(text)["Order"]

    assert "manifests/" not in text
    assert text.index("kind: StockItem") < text.index("condition=Ready stock/") < text.index("kind: Order\n")
    assert judge(StockItemSpec, stock["spec"]).sku == judge(OrderSpec, order["spec"]).lines[0].sku


def test_the_first_order_is_waited_for_until_its_end_whichever(helm: Path) -> None:
    assert "--for=condition=Finished ord/first-order" in notes(helm)


def test_the_first_order_lies_where_orders_are_carried_out(helm: Path) -> None:
    text = notes(helm, "--set", "watch.namespaces={shop}")

    assert set(re.findall(r"kubectl (?:apply|wait|get) --namespace (\S+)", text)) == {"shop"}


def test_the_notes_say_how_to_ask_whether_it_works_and_where_the_reason_stands(helm: Path) -> None:
    """Helm says no more of an installation that does not come up than that it is not available."""
    text = notes(helm)

    assert "helm test order-platform --namespace order-platform --logs" in text
    assert "kubectl --namespace order-platform logs deployment/order-platform-operator" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "uninstall.openOrders=refuse"], "helm uninstall refuses while orders are open"),
        (["--set", "uninstall.openOrders=cancel"], "helm uninstall cancels orders that are open"),
        (["--set", "uninstall.openOrders=leave"], "helm uninstall leaves orders that are open"),
        (["--set", "hooks.enabled=false"], "Nothing sees to open orders at an uninstall"),
    ],
)
def test_the_notes_say_what_an_uninstall_does_about_open_orders(helm: Path, arguments: list[str], said: str) -> None:
    assert said in notes(helm, *arguments)


def test_the_notes_name_the_roles_as_they_are(helm: Path) -> None:
    assert "order-platform-viewer, -editor" in notes(helm)
    assert "-editor" not in notes(helm, "--set", "userRoles.create=false")


def test_the_notes_say_that_no_money_is_taken(helm: Path) -> None:
    said = " ".join(notes(helm).split())

    assert "simulated and touch nothing outside: payment, mail, fraud check" in said
    assert "NO MONEY IS TAKEN" in said


def test_the_notes_of_a_provider_that_moves_money_name_what_is_simulated_still(helm: Path) -> None:
    money = "worker.payment.provider=stripe,worker.payment.stripe.existingSecret.name=stripe"
    said = " ".join(notes(helm, "--set", money, "--set", "ledger.existingSecret.name=ledger").split())

    assert "NO MONEY IS TAKEN" not in said
    assert "simulated and touch nothing outside: mail, fraud check, shop system, warehouse, carrier" in said


def test_the_notes_say_that_keys_alone_encrypt_nothing(helm: Path) -> None:
    keys = ("--set", "encryption.existingSecret.name=keys")

    assert "not encrypted yet" in notes(helm, *keys)
    assert "not encrypted yet" not in notes(helm, *keys, "--set", "encryption.write=true")
    assert "not encrypted yet" not in notes(helm)
