"""Where people find the pages of an installation: what `kubectl order open` reads."""

from typing import Any

import pytest
from charts import CHARTS, Render, granted, names, only

from order_cli.commands import opening

GRAFANA = {"addresses": {"grafana": "https://grafana.example.com"}}


def addresses(render: Render, values: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = only(render("order-platform", values), "ConfigMap", opening.CONFIG_MAP)["data"]
    return found


def test_where_nothing_is_known_nothing_is_told(render: Render) -> None:
    assert opening.CONFIG_MAP not in {name for _, _, name in names(render("order-platform"))}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (GRAFANA, {"grafana": "https://grafana.example.com"}),
        ({"temporal": {"uiURL": "https://temporal.example.com"}}, {"temporal": "https://temporal.example.com"}),
        ({"console": {"enabled": True, "hosts": ["a.example.com", "b"]}}, {"console": "https://a.example.com"}),
        (
            {"console": {"enabled": True, "hosts": ["a"]}, "addresses": {"console": "https://b"}},
            {"console": "https://b"},
        ),
    ],
)
def test_addresses_are_those_of_the_values(render: Render, values: dict[str, Any], told: dict[str, str]) -> None:
    assert addresses(render, values) == told


def test_everybody_who_is_logged_in_may_read_this_and_nothing_else(render: Render) -> None:
    manifests = render("order-platform", GRAFANA)

    assert {rule for rule in granted(manifests, "Role") if "addresses" in rule} == {
        f"order-platform/{opening.CONFIG_MAP}: get on /configmaps [{opening.CONFIG_MAP}]"
    }
    binding = only(manifests, "RoleBinding", opening.CONFIG_MAP)
    assert [subject["name"] for subject in binding["subjects"]] == ["system:authenticated"]


def test_nobody_in_particular_may_read_it_where_the_values_say_so(render: Render) -> None:
    values = {"addresses": {**GRAFANA["addresses"], "readers": []}}

    assert ("Role", "order-platform", opening.CONFIG_MAP) not in names(render("order-platform", values))


def test_the_board_that_is_opened_is_one_of_the_charts() -> None:
    dashboard = (CHARTS / "order-platform/files/dashboards/orders.json").read_text()

    assert f'"uid": "{opening.BOARD}"' in dashboard
    assert '"name": "order_namespace"' in dashboard
