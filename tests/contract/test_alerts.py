"""The chart's alerts: Prometheus takes them, each has a runbook, and each is played with promtool: it fires, it does
not fire, and it bears a roll-out."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import Manifest, Render, RenderingFailed

from order_devstack import prometheus
from order_devstack.dashboards.queries import metrics
from order_devstack.reference import metrics as metrics_page

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "order-platform"
ALERTS = sorted((CHART / "files" / "alerts").glob("*.yaml"))
PLAYS = Path(__file__).parent / "alerts"
RELABELINGS = yaml.safe_load((CHART / "files" / "monitoring" / "relabelings.yaml").read_text())


def always(**monitoring: Any) -> dict[str, Any]:
    return {"monitoring": {"renderMode": "alwaysRender", **monitoring}}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [item for item in manifests if item["kind"] == kind]


def rules_of(manifests: list[Manifest]) -> list[dict[str, Any]]:
    [found] = of_kind(manifests, "PrometheusRule")
    [group] = found["spec"]["groups"]
    return list(group["rules"])


@pytest.fixture
def rules_file(render: Render, tmp_path: Path) -> Path:
    [found] = of_kind(render("order-platform", always()), "PrometheusRule")
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": found["spec"]["groups"]}))
    return file


def test_prometheus_takes_the_rules(promtool: Path, rules_file: Path) -> None:
    done = subprocess.run([promtool, "check", "rules", rules_file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 rules found" in done.stdout


@pytest.mark.parametrize("alert", ALERTS, ids=lambda file: file.stem)
def test_the_alert_fires_when_it_should_and_only_then(
    alert: Path, promtool: Path, rules_file: Path, tmp_path: Path
) -> None:
    plays = yaml.safe_load((PLAYS / alert.name).read_text())
    for play in plays["tests"]:
        play.pop("name")  # promtool of Debian knows none
    named = {case["alertname"] for play in plays["tests"] for case in play["alert_rule_test"]}
    rules = tmp_path / "bare.yaml"
    rules.write_text(bare(rules_file, named))
    played = tmp_path / "play.yaml"
    played.write_text(yaml.safe_dump({"rule_files": [str(rules)], **plays}))

    done = subprocess.run([promtool, "test", "rules", played], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    expected = [case["exp_alerts"] for play in plays["tests"] for case in play["alert_rule_test"]]
    assert any(expected)
    assert not all(expected)


def bare(rules_file: Path, named: set[str]) -> str:
    """The rules of these alerts: promtool evaluates each that it is given at each step. Of an alert only the labels are
    said: its texts are in the rule, and what they become is no behaviour of ours."""
    groups = yaml.safe_load(rules_file.read_text())
    [group] = groups["groups"]
    group["rules"] = [rule for rule in group["rules"] if rule["alert"] in named]
    assert {rule["alert"] for rule in group["rules"]} == named
    for rule in group["rules"]:
        del rule["annotations"]
    return yaml.safe_dump(groups)


def test_there_are_thirteen_alerts_each_with_texts_a_severity_and_a_runbook(render: Render) -> None:
    rules = rules_of(render("order-platform", always()))
    assert len({rule["alert"] for rule in rules}) == len(ALERTS) == 13
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith((".", "Review", "Waiting"))
        page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
        assert f"`{rule['alert']}`" in page
        for part in ("**Meaning.**", "**Impact.**", "**Diagnosis.**", "**What to do.**"):
            assert part in page, rule["alert"]


def test_every_metric_in_an_alert_is_on_the_page_of_the_metrics_or_the_sdks(render: Render) -> None:
    known = set(re.findall(r"^\| `(\w+)`", metrics_page.text(), re.MULTILINE))
    asked = {name for rule in rules_of(render("order-platform", always())) for name in metrics(rule["expr"])}
    assert {re.sub(r"_bucket$", "", name) for name in asked if not name.startswith("temporal_")} <= known
    assert len(asked) >= len(ALERTS)


def test_an_alert_looks_at_its_own_release_alone(render: Render) -> None:
    for rule in rules_of(render("order-platform", always(), namespace="shop-system")):
        selectors = re.findall(r"\{([^}]*)\}", rule["expr"])
        assert selectors
        assert all('namespace="shop-system"' in selector for selector in selectors), rule["alert"]


def test_an_alert_can_be_switched_off_labelled_and_given_another_threshold(render: Render) -> None:
    changed = {"OrdersOperatorDown": {"enabled": False}, "OrdersApprovalAging": {"threshold": 86_400}}
    alerts = {"rules": changed, "labels": {"team": "shop"}, "runbookURL": "https://docs.example.com/%s.html"}
    rules = {rule["alert"]: rule for rule in rules_of(render("order-platform", always(alerts=alerts)))}

    assert "OrdersOperatorDown" not in rules
    assert rules["OrdersApprovalAging"]["expr"].endswith("> 86400")
    assert all(rule["labels"]["team"] == "shop" for rule in rules.values())
    assert rules["OrdersApprovalAging"]["annotations"]["runbook_url"] == "https://docs.example.com/approval-aging.html"


def test_a_cluster_without_the_kinds_gets_no_monitors_unless_it_is_told_to(render: Render) -> None:
    kinds = {"PodMonitor", "PrometheusRule"}
    served = ("--api-versions", "monitoring.coreos.com/v1")

    assert not kinds & {item["kind"] for item in render("order-platform")}
    assert kinds <= {item["kind"] for item in render("order-platform", {}, *served)}
    assert kinds <= {item["kind"] for item in render("order-platform", always())}
    fail = {"monitoring": {"renderMode": "failIfMissing"}}
    assert kinds <= {item["kind"] for item in render("order-platform", fail, *served)}
    with pytest.raises(RenderingFailed, match=r"monitoring\.renderMode is failIfMissing, and this cluster has no"):
        render("order-platform", fail)


def test_a_monitor_finds_the_pods_of_its_component_and_scrapes_the_port_that_they_name(render: Render) -> None:
    manifests = render("order-platform", always(labels={"release": "prometheus"}))
    for monitor in of_kind(manifests, "PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        templates = [item["spec"]["template"] for item in of_kind(manifests, "Deployment")]
        found = [pod for pod in templates if wanted.items() <= pod["metadata"]["labels"].items()]
        assert found
        for pod in found:
            ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
            assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports


def test_the_monitors_and_the_stacks_own_prometheus_relabel_alike(render: Render) -> None:
    for monitor in of_kind(render("order-platform", always()), "PodMonitor"):
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["relabelings"] == RELABELINGS["relabelings"]
        assert endpoint["metricRelabelings"] == RELABELINGS["metricRelabelings"]
    names = ("operator", "worker")
    ports = {f"{name}-metrics": 20_000 for name in names}
    [scraped] = prometheus.configuration(ports, names, Path("alerts.yml"))["scrape_configs"]
    assert scraped["relabel_configs"] == [prometheus.native(each) for each in RELABELINGS["relabelings"]]
    assert scraped["metric_relabel_configs"] == [prometheus.native(each) for each in RELABELINGS["metricRelabelings"]]


def test_the_dashboards_come_as_config_maps_that_grafanas_sidecar_finds(render: Render) -> None:
    found = of_kind(render("order-platform"), "ConfigMap")
    dashboards = [item for item in found if item["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert len(dashboards) == 3
    for item in dashboards:
        [(name, text)] = item["data"].items()
        assert text == (CHART / "files" / "dashboards" / name).read_text()
    elsewhere = {"monitoring": {"dashboards": {"namespace": "grafana", "annotations": {"grafana_folder": "Orders"}}}}
    for item in of_kind(render("order-platform", elsewhere), "ConfigMap"):
        if "-grafana-" in item["metadata"]["name"]:
            assert item["metadata"]["namespace"] == "grafana"
            assert item["metadata"]["annotations"] == {"grafana_folder": "Orders"}
    off = {"monitoring": {"dashboards": {"enabled": False}}}
    assert not [
        item for item in of_kind(render("order-platform", off), "ConfigMap") if "-grafana-" in item["metadata"]["name"]
    ]


def test_a_panel_leads_to_the_runbook_where_it_is_served(render: Render) -> None:
    served = {"monitoring": {"alerts": {"runbookURL": "https://docs.example.com/%s.html"}}}
    pages = [
        item["data"]
        for item in of_kind(render("order-platform", served), "ConfigMap")
        if "-grafana-" in item["metadata"]["name"]
    ]
    text = "".join(text for data in pages for text in data.values())
    assert "Runbook: https://docs.example.com/approval-aging.html" in text
    assert "docs/runbooks" not in text
