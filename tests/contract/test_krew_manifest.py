"""The krew manifest has what krew's own validation asks for, and the version of the program."""

import tomllib
from typing import Any

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


def test_one_archive_with_the_program_does_for_every_system() -> None:
    (platform,) = SPEC["platforms"]

    assert set(platform) == {"selector", "uri", "sha256", "files", "bin"}
    assert platform["selector"] == {
        "matchExpressions": [{"key": "os", "operator": "In", "values": ["linux", "darwin"]}]
    }
    assert platform["uri"].endswith("/kubectl-order.tar.gz")
    assert platform["files"] == [{"from": "kubectl-order", "to": "."}, {"from": "LICENSE", "to": "."}]
    assert platform["bin"] == "kubectl-order"
    assert platform["sha256"] == "SHA256", "a release writes it"
