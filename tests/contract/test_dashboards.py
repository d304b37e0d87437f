"""The dashboards as Grafana reads them: nobody here can look at them, so what makes one readable is checked."""

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanasDashboard
from prometheus_client.metrics import MetricWrapperBase

from order_devstack.dashboards.__main__ import DASHBOARDS, FOLDER, main
from order_devstack.dashboards.content import Unit
from order_devstack.dashboards.grafana import COLUMNS, address
from order_devstack.dashboards.queries import expression, metrics, panels
from order_devstack.reference import metrics as metrics_page
from order_operator import figures
from order_operator import metrics as operator_metrics

ROOT = Path(__file__).resolve().parents[2]
SCREEN_ROWS = 20
"""Of Grafana's grid; what a monitor of 1080 lines shows."""
PANELS_A_SCREEN = 12

Board = dict[str, Any]


@pytest.fixture(params=[dashboard.name for dashboard in DASHBOARDS])
def board(request: pytest.FixtureRequest) -> Board:
    found: Board = json.loads((ROOT / FOLDER / f"{request.param}.json").read_text())
    return found


def queries(board: Board) -> Iterator[tuple[str, str]]:
    """The panel's title and the query."""
    return ((panel["title"], target["expr"]) for panel in panels(board) for target in panel["targets"])


def test_a_stale_file_fails_the_check_and_is_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(tmp_path)])
    file = tmp_path / FOLDER / "orders.json"
    file.write_text("{}")

    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert "orders.json is stale: run make generate" in capsys.readouterr().err
    main(["--root", str(tmp_path)])
    assert file.read_text() == (ROOT / FOLDER / "orders.json").read_text()


def test_no_panel_lies_over_another_or_sticks_out(board: Board) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in rows(panel)):
            assert cell not in taken, f"{panel['title']} lies over {taken[cell]}"
            taken[cell] = panel["title"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def rows(panel: Board) -> range:
    place = panel["gridPos"]
    return range(place["y"], place["y"] + place["h"])


def test_a_screen_has_at_most_twelve_panels(board: Board) -> None:
    asking = [rows(panel) for panel in panels(board)]
    bottom = max(each.stop for each in asking)
    for top in range(bottom):
        whole = [each for each in asking if each.start >= top and each.stop <= top + SCREEN_ROWS]
        assert len(whole) <= PANELS_A_SCREEN, f"from row {top}"


def test_grafanas_published_model_knows_every_key_and_value(board: Board) -> None:
    """The model is made from Grafana's schema: what it does not know it leaves out, and so does Grafana."""
    plugins.register_default_plugins()

    read = json.loads(JSONEncoder().encode(GrafanasDashboard.from_json(copy.deepcopy(board))))

    assert lost(board, read) == []


def lost(written: Any, read: Any, where: str = "") -> list[str]:
    """What of `written` is not the same in `read`; defaults may be added."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [each for key in written for each in lost(written[key], read.get(key), f"{where}.{key}")]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        both = enumerate(zip(written, read, strict=True))
        return [each for index, (one, other) in both for each in lost(one, other, f"{where}[{index}]")]
    return [] if written == read else [where]


def test_every_panel_has_a_title_of_its_own_a_meaning_and_a_unit(board: Board) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert panel["description"].endswith((".", ".md")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in {unit.value for unit in Unit}, panel["title"]
        assert panel["targets"], panel["title"]


def test_every_panel_and_every_choice_asks_the_data_source_that_the_reader_chose(board: Board) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = board["templating"]["list"]
    assert (variables[0]["name"], variables[0]["type"]) == ("datasource", "datasource")
    asking = [*panels(board), *(target for panel in panels(board) for target in panel["targets"]), *variables[1:]]
    assert [each.get("title") or each.get("name") for each in asking if each["datasource"] != chosen] == []


def test_every_choice_of_the_reader_counts_in_some_query_and_every_query_knows_the_cluster(board: Board) -> None:
    variables = [each["name"] for each in board["templating"]["list"]][1:]
    assert {"cluster", "namespace"} <= set(variables)
    text = [query for _, query in queries(board)]
    assert [name for name in variables if not any(f'{name}=~"${name}"' in query for query in text)] == []
    for title, query in queries(board):
        for selector in re.findall(r"\{([^}]*)\}", query):
            assert 'cluster=~"$cluster", namespace=~"$namespace"' in selector, title
            assert 'job="order-platform-' in selector, title
        assert set(re.findall(r"\$([a-z_]+)", query)) <= {*variables, "__rate_interval"}, title


def test_all_is_chosen_at_first_and_means_series_without_the_label_too(board: Board) -> None:
    for variable in board["templating"]["list"][1:]:
        assert (variable["allValue"], variable["current"]["value"], variable["refresh"]) == (".*", "$__all", 2)


def test_a_counter_is_shown_as_a_rate_or_a_rise_only(board: Board) -> None:
    for title, query in queries(board):
        for counter in re.findall(r"(\w*\(?)\b(?:orders|temporal)_\w+?(?:_total|_count|_bucket)\{", query):
            assert counter in {"rate(", "increase("}, f"{title}: {query}"


def test_a_page_leads_to_the_others_at_addresses_that_never_change(board: Board) -> None:
    addresses = {f"/d/{address(dashboard)}" for dashboard in DASHBOARDS}
    assert {link["url"] for link in board["links"]} | {f"/d/{board['uid']}"} == addresses
    assert all(link["includeVars"] and link["keepTime"] for link in board["links"])
    assert board["editable"] is False


def test_a_runbook_that_a_panel_names_is_there(board: Board) -> None:
    named = [page for panel in panels(board) for page in re.findall(r"docs/runbooks/[a-z-]+\.md", panel["description"])]
    assert named
    assert [page for page in named if not (ROOT / page).exists()] == []


def test_prometheus_takes_every_query(board: Board, promtool: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression(query)} for number, (_, query) in enumerate(queries(board))
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_ours_in_a_query_is_on_the_page_of_the_metrics(board: Board) -> None:
    known = set(re.findall(r"^\| `(\w+)`", metrics_page.text(), re.MULTILINE))
    asked = {name for _, query in queries(board) for name in metrics(query) if name.startswith("orders_")}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= known


def test_no_metric_of_the_operator_is_kept_from_the_reader() -> None:
    """What is worth counting is worth a panel."""
    counted = {
        family.name
        for item in vars(operator_metrics).values()
        if isinstance(item, MetricWrapperBase)
        for family in item.describe()
    } | {family.name for family in figures.Figures(figures.nothing()).collect()}
    shown = {
        name
        for dashboard in DASHBOARDS
        for _, query in queries(json.loads((ROOT / FOLDER / f"{dashboard.name}.json").read_text()))
        for name in metrics(query)
    }
    shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown}
    assert counted - shown == set()
