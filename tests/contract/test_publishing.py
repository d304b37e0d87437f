"""A release is handed to a real registry, and taken from there, by the tools that everybody uses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from order_devstack import servers
from order_devstack.cluster import pause_image
from order_devstack.release.__main__ import _write_checksums, main

VERSION = "9.8.7"
CHARTS = Path(__file__).resolve().parents[2] / "charts"


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """Address of an empty one."""
    program = servers.obtain(["registry"])["registry"]
    process = subprocess.Popen([program, "-port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "serving on port" in line, line
    yield f"localhost:{line.split()[-1]}/shop"
    process.kill()
    process.communicate()


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A release with charts and images of no content."""
    folder = tmp_path / "dist"
    (folder / "images").mkdir(parents=True)
    for program in ("operator", "worker"):
        shutil.copy(pause_image.obtain(sys.stderr), folder / "images" / f"{program}.tar")
    helm = servers.obtain(["helm"])["helm"]
    for chart in ("order-platform", "order-platform-crds"):
        packed = ("package", CHARTS / chart, "--version", VERSION, "--app-version", VERSION)
        subprocess.run([helm, *packed, "--destination", folder / "charts"], check=True, capture_output=True)
    (folder / "order_platform-9.8.7-py3-none-any.whl").touch()
    _write_checksums(folder)
    return folder


def publish(dist: Path, registry: str, *options: str) -> int:
    return main(["publish", VERSION, "--from", str(dist), "--registry", registry, "--plain-http", *options])


def answer(*command: object) -> str:
    name, *arguments = map(str, command)
    program = servers.obtain([name])[name]
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def test_what_was_published_is_found_where_the_chart_looks_for_it(dist: Path, registry: str, tmp_path: Path) -> None:
    assert publish(dist, registry) == 0

    chart = f"oci://{registry}/charts/order-platform"
    answer("helm", "pull", chart, "--version", VERSION, "--plain-http", "--untar", "--untardir", tmp_path)

    rendered = answer("helm", "template", tmp_path / "order-platform", "--set", f"global.imageRegistry={registry}")
    asked_for = {
        container["image"]
        for document in yaml.safe_load_all(rendered)
        if document and document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert asked_for == {f"{registry}/order-platform/{name}:{VERSION}" for name in ("operator", "worker")}
    for image in asked_for:
        assert json.loads(answer("crane", "manifest", "--insecure", image))["layers"]
    assert answer("helm", "pull", f"{chart}-crds", "--version", VERSION, "--plain-http", "-d", tmp_path) is not None


def test_a_dry_run_says_every_command_and_reaches_nobody(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(dist, "registry.invalid/shop", "--dry-run", "--index", "https://index.invalid/legacy/") == 0

    programs = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert programs == [["crane", "push"]] * 2 + [["helm", "push"]] * 2 + [["twine", "upload"]]


def test_a_release_that_was_changed_since_it_was_built_is_not_published(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dist / "images" / "worker.tar").write_bytes(b"another")

    assert publish(dist, "registry.invalid/shop") == 1

    assert "worker.tar is not as it was built" in capsys.readouterr().err


def test_another_version_than_the_one_that_lies_there_is_not_published(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", "9.8.8", "--from", str(dist), "--registry", "registry.invalid"]) == 1

    assert "no release 9.8.8" in capsys.readouterr().err
