"""The krew manifest has what krew's own validation asks for, and the version of the program."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from pages import ROOT

MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "cli/krew/order-platform.yaml").read_text())
SPEC = MANIFEST["spec"]


def test_it_is_a_plugin_named_as_its_file() -> None:
    assert MANIFEST["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert MANIFEST["kind"] == "Plugin"
    assert MANIFEST["metadata"] == {"name": "order-platform"}


def test_its_version_is_that_of_the_program() -> None:
    program = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]["version"]

    assert SPEC["version"] == f"v{program}"


def test_its_descriptions_fit_krews_limits() -> None:
    assert 0 < len(SPEC["shortDescription"]) <= 50
    assert not SPEC["shortDescription"].endswith(".")
    assert max(map(len, SPEC["description"].splitlines())) <= 80
    assert "order-platform-crds" in SPEC["caveats"]


@pytest.mark.parametrize(
    "platform", SPEC["platforms"], ids=lambda each: "-".join(each["selector"]["matchLabels"].values())
)
def test_a_platform_has_one_archive_with_the_program(platform: dict[str, Any]) -> None:
    labels = platform["selector"]["matchLabels"]

    assert set(platform) == {"selector", "uri", "sha256", "files", "bin"}
    assert platform["uri"].endswith(f"kubectl-order-{labels['os']}-{labels['arch']}.tar.gz")
    assert platform["files"] == [{"from": "kubectl-order", "to": "."}]
    assert platform["bin"] == "kubectl-order"
    assert re.fullmatch(r"SHA256|[0-9a-f]{64}", platform["sha256"])


def test_no_platform_is_there_twice() -> None:
    labels = [tuple(each["selector"]["matchLabels"].items()) for each in SPEC["platforms"]]

    assert len(set(labels)) == len(labels)
