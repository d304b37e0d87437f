"""Values of the charts: their schema and README are made of values.yaml, and a mistake is refused by name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import CHARTS, SHARED_LEDGER, Render, RenderingFailed, kinds, pods

from order_devstack.reference import chart_readme, chart_schema
from order_devstack.reference.chart_values import every, values_of

BOTH = ["order-platform", "order-platform-crds"]


def schema(chart: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((CHARTS / chart / "values.schema.json").read_text())
    return read


@pytest.mark.parametrize("chart", BOTH)
def test_schema_and_readme_are_what_the_comments_in_the_values_say(chart: str) -> None:
    folder = CHARTS / chart

    assert (folder / "values.schema.json").read_text() == chart_schema.text(folder)
    assert (folder / "README.md").read_text() == chart_readme.text(folder)


@pytest.mark.parametrize("chart", BOTH)
def test_a_value_has_its_comment_as_description_in_the_schema(chart: str) -> None:
    for value in every(values_of(CHARTS / chart)):
        if value.meaning and not value.path.startswith("workers."):
            assert at(schema(chart), value.path)["description"] == value.meaning.replace("`", "")


@pytest.mark.parametrize("chart", BOTH)
def test_no_block_of_the_schema_takes_a_key_that_the_values_do_not_have(chart: str) -> None:
    """What a chart above shares with all its parts is the exception, and labels."""
    open_blocks = [
        value.path
        for value in every(values_of(CHARTS / chart))
        if value.children and not value.path.startswith("global") and value.name != "matchLabels"
        if at(schema(chart), value.path).get("additionalProperties", True) is True
    ]

    assert open_blocks == []


def at(root: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of one value."""
    node = root
    for name in path.split("."):
        node = node["properties"].get(name) or node["additionalProperties"]
        if "$ref" in node:
            node = at(root, node["$ref"].removeprefix("#/properties/").replace("/properties/", "."))
    return node


@pytest.mark.parametrize("chart", BOTH)
def test_every_value_is_in_the_readme(chart: str) -> None:
    page = (CHARTS / chart / "README.md").read_text()

    assert [v.path for v in every(values_of(CHARTS / chart)) if not v.children and f"| `{v.path}` |" not in page] == []


def parent_of(chart: str, folder: Path, values: str) -> Path:
    parent = folder / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / chart).symlink_to(CHARTS / chart)
    dependency = {"name": chart, "version": "0.1.0", "condition": f"{chart}.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    (parent / "values.yaml").write_text(values)
    return parent


@pytest.mark.parametrize("chart", BOTH)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_chart_is_a_part_of_another_that_can_be_switched_off(
    render: Render, tmp_path: Path, chart: str, enabled: bool
) -> None:
    """The schema did not know `enabled`, so that a condition could not even be written."""
    values = f"{chart}: {{enabled: {str(enabled).lower()}}}\nglobal: {{anything: [else]}}\n"

    manifests = render(str(parent_of(chart, tmp_path, values)))

    assert (manifests != []) is enabled


def test_the_registry_of_a_chart_above_counts_for_every_image(render: Render) -> None:
    """`global.imageRegistry` was accepted and ignored, where mirrors are the norm."""
    values = {**SHARED_LEDGER, "global": {"imageRegistry": "mirror.example", "imagePullSecrets": ["mirror"]}}
    templates = pods(render("order-platform", values, hooks=True))

    assert len(templates) > 4
    for name, template in templates.items():
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["image"].startswith("mirror.example/order-platform/"), name
        assert spec["imagePullSecrets"] == [{"name": "mirror"}], name


def test_an_images_own_registry_and_secrets_come_before_those_of_all(render: Render) -> None:
    own = {"registry": "own.example", "pullSecrets": [{"name": "own"}]}
    values = {"global": {"imageRegistry": "mirror.example", "imagePullSecrets": [{"name": "all"}]}}
    templates = pods(render("order-platform", {**values, "operator": {"image": own}}))

    spec = templates["Deployment/order-platform-operator"]["spec"]
    assert spec["containers"][0]["image"] == "own.example/order-platform/operator:0.1.0"
    assert spec["imagePullSecrets"] == [{"name": "all"}, {"name": "own"}]


@pytest.mark.parametrize("chart", BOTH)
def test_a_cluster_that_is_too_old_is_refused_at_once(render: Render, chart: str) -> None:
    assert kinds(render(chart, None, "--kube-version=1.32.0"))
    assert kinds(render(chart, None, "--kube-version=1.33.4-gke.1"))
    with pytest.raises(RenderingFailed, match=r"requires kubeVersion: >= 1\.32\.0-0"):
        render(chart, None, "--kube-version=1.31.9")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"operator": {"metrics": {"port": 8080}}},
            r"operator\.metrics\.port and operator\.probes\.port are both 8080",
        ),
        ({"worker": {"probes": {"port": 9464}}}, r"worker\.metrics\.port and worker\.probes\.port are both 9464"),
        ({"operator": {"probes": {"liveness": {"period": 1}}}}, "period"),
        ({"operator": {"tolerations": [{"keey": "a"}]}}, "keey"),
        ({"workers": {"orders": {"autoscaling": {"mode": "vpa"}}}}, "/workers/orders/autoscaling/mode"),
        ({"operator": {"serviceAccount": {"create": False}}}, r"operator\.serviceAccount\.name"),
        ({"workers": {"orders": {"podDisruptionBudget": {"maxUnavailable": "half"}}}}, "maxUnavailable"),
    ],
)
def test_a_mistake_in_a_value_of_the_platform_is_refused_by_name(
    render: Render, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RenderingFailed, match=complaint):
        render("order-platform", values)


@pytest.mark.parametrize("chart", BOTH)
def test_a_chart_says_whose_it_is_and_what_is_in_it(chart: str) -> None:
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    annotations = about["annotations"]

    assert {"home", "keywords", "maintainers"} <= about.keys()
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    assert {change["kind"] for change in yaml.safe_load(annotations["artifacthub.io/changes"])} <= {"added", "changed"}


def test_the_charts_name_the_images_and_kinds_that_they_bring(render: Render) -> None:
    about = yaml.safe_load((CHARTS / "order-platform/Chart.yaml").read_text())
    named = {each["image"] for each in yaml.safe_load(about["annotations"]["artifacthub.io/images"])}
    all_parts = pods(render("order-platform", {"console": {"enabled": True}}))
    used = {c["image"] for template in all_parts.values() for c in template["spec"]["containers"]}
    of_kinds = yaml.safe_load((CHARTS / "order-platform-crds/Chart.yaml").read_text())
    brought = [item for item in render("order-platform-crds") if item["kind"] == "CustomResourceDefinition"]

    assert named == used
    assert {each["name"] for each in yaml.safe_load(of_kinds["annotations"]["artifacthub.io/crds"])} == {
        item["metadata"]["name"] for item in brought
    }
    for kind in (item["spec"]["names"]["kind"] for item in brought):
        assert re.search(rf"\b{kind}\b", of_kinds["description"])


def test_the_page_of_the_charts_names_values_that_exist() -> None:
    page = (CHARTS.parent / "docs/charts.md").read_text()
    known = {value.path for chart in BOTH for value in every(values_of(CHARTS / chart))}
    of_workers = {path.replace("worker.defaults.", "workers.orders.") for path in known}
    value = r"`((?:operator|workers?|console|networkPolicy|global|temporal|uninstall|hooks|watch)\.[\w.]+?)(?:=[^`]*)?`"
    named = set(re.findall(value, page))

    assert len(named) > 15
    assert named - known - of_workers == set()
