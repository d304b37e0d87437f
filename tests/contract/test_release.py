"""A release is built from a commit alone, the same each time, and refused with what to do where something is amiss."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from order_devstack import servers
from order_devstack.errors import DevstackError
from order_devstack.release import advisories, python_packages, versions
from order_devstack.release.__main__ import main
from order_devstack.release.advisories import Audit, Verdict

ROOT = Path(__file__).resolve().parents[2]
VERSION = "9.8.7"
GIT = shutil.which("git") or "git"


def git(checkout: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run([GIT, "-C", str(checkout), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is in this one, committed as VERSION."""
    checkout = tmp_path_factory.mktemp("release") / "checkout"
    listed = subprocess.run(
        [GIT, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    git(checkout, "init", "--quiet")
    assert main(["set", VERSION, "--checkout", str(checkout)]) == 0
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", VERSION)
    yield checkout
    shutil.rmtree(checkout)


@pytest.fixture(autouse=True, scope="module")
def audited() -> Iterator[None]:
    """The source of advisories is another test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advisories, "audit", lambda _: Audit(Verdict.FINE))
        yield


@pytest.fixture(scope="module")
def dist(checkout: Path) -> Path:
    assert main(["build", VERSION, "--without-images", "--checkout", str(checkout)]) == 0
    return checkout / "dist"


def test_everything_that_belongs_to_a_version_is_there(dist: Path) -> None:
    files = {str(path.relative_to(dist)) for path in dist.rglob("*") if path.is_file() and "blobs" not in path.parts}

    assert files == {
        "NOTES.md",
        "SHA256SUMS",
        f"kubectl_order-{VERSION}-py3-none-any.whl",
        "krew/kubectl-order.tar.gz",
        "krew/order-platform.yaml",
        f"order_platform-{VERSION}-py3-none-any.whl",
        "sbom/console.cdx.json",
        "sbom/operator.cdx.json",
        "sbom/worker.cdx.json",
        *(
            f"charts/{name}"
            for chart in ("order-platform", "order-platform-crds")
            for name in (f"{chart}-{VERSION}.tgz", f"{chart}/index.json", f"{chart}/oci-layout")
        ),
    }


@pytest.mark.long
def test_built_again_it_is_the_same_to_the_bit(checkout: Path, dist: Path, tmp_path: Path) -> None:
    assert (
        main(["build", VERSION, "--without-images", "--checkout", str(checkout), "--out", str(tmp_path / "again")]) == 0
    )

    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def test_the_checksums_are_those_of_the_files(dist: Path) -> None:
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        sha, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == sha, name


def test_the_wheel_has_the_programs_and_no_tests(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"order_platform-{VERSION}-py3-none-any.whl") as wheel:
        folders = {name.split("/")[0] for name in wheel.namelist()}

    assert folders == {
        "order_codec",
        "order_console",
        "order_domain",
        "order_operator",
        "order_process",
        "order_worker",
        "order_workflows",
        f"order_platform-{VERSION}.dist-info",
    }


@pytest.mark.parametrize("name", ["order-platform", "order-platform-crds"])
def test_a_chart_says_its_version_and_renders(dist: Path, name: str) -> None:
    helm = servers.obtain(["helm"])["helm"]
    archive = str(dist / "charts" / f"{name}-{VERSION}.tgz")
    said = subprocess.run([helm, "show", "chart", archive], check=True, capture_output=True, text=True)
    rendered = subprocess.run(
        [
            helm,
            "template",
            "shop",
            archive,
            *(["--set=temporal.address=temporal:7233"] if name == "order-platform" else []),
        ],
        check=True,
        capture_output=True,
        text=True,
    )

    about = yaml.safe_load(said.stdout)
    assert (about["version"], about["appVersion"]) == (VERSION, VERSION)
    assert "kind:" in rendered.stdout


@pytest.mark.parametrize("name", ["order-platform", "order-platform-crds"])
def test_a_charts_layout_leads_from_its_tag_to_the_same_archive(dist: Path, name: str) -> None:
    layout = dist / "charts" / name

    def blob(described: dict[str, object]) -> bytes:
        algorithm, sha = str(described["digest"]).split(":")
        content = (layout / "blobs" / algorithm / sha).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (sha, described["size"])
        return content

    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": VERSION}
    manifest = json.loads(blob(entry))
    assert json.loads(blob(manifest["config"]))["name"] == name
    (content,) = manifest["layers"]
    assert blob(content) == (dist / "charts" / f"{name}-{VERSION}.tgz").read_bytes()


@pytest.mark.parametrize("program", ["operator", "worker", "console"])
def test_a_bill_of_materials_names_every_pinned_package(dist: Path, program: str) -> None:
    bill = json.loads((dist / "sbom" / f"{program}.cdx.json").read_text())
    pinned = re.findall(
        r"^([a-z0-9_.-]+)(?:\[[a-z,]+\])?==(\S+)", (ROOT / f"requirements/{program}.txt").read_text(), re.MULTILINE
    )

    assert bill["metadata"]["component"]["version"] == VERSION
    assert {(each["name"], each["version"]) for each in bill["components"]} == set(pinned)


def test_the_notes_are_what_the_changelog_says_of_the_version(dist: Path) -> None:
    assert (dist / "NOTES.md").read_text().startswith("### ")
    assert "\n## " not in (dist / "NOTES.md").read_text()


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("9.8", "'9.8' is no version: write 1.2.3"),
        ("v9.8.7", "'v9.8.7' is no version"),
        ("9.9.9", f"not at 9.9.9: pyproject.toml: version {VERSION}"),
    ],
)
def test_a_version_that_does_not_fit_is_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str], version: str, says: str
) -> None:
    assert main(["build", version, "--without-images", "--checkout", str(checkout)]) == 1
    assert says in capsys.readouterr().err


def test_what_is_not_committed_is_refused_and_the_release_before_stays(
    checkout: Path, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = checkout / "README.md"
    before = stray.read_text()
    stray.write_text("changed")
    try:
        assert main(["build", VERSION, "--without-images", "--checkout", str(checkout)]) == 1
    finally:
        stray.write_text(before)

    assert "commit or remove README.md" in capsys.readouterr().err
    assert (dist / "SHA256SUMS").exists()


def test_images_are_built_of_the_checkout_of_the_program_alone(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", VERSION, "--checkout", str(checkout), "--out", str(checkout / "elsewhere")]) == 1

    assert "images are built of" in capsys.readouterr().err


def test_a_version_without_a_word_in_the_changelog_is_refused() -> None:
    with pytest.raises(DevstackError, match=r"says nothing about 1\.2\.3"):
        versions.notes(
            "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-11-26)\n\n## 1.2.2 (2026-11-25)\n- more\n", "1.2.3"
        )


def test_kubectl_order_brings_the_scenarios_along(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"kubectl_order-{VERSION}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())

    shipped = {f"order_cli/scenarios/{file.name}" for file in (ROOT / "manifests/samples/scenarios").glob("*.yaml")}
    assert shipped
    assert shipped <= names


@pytest.mark.parametrize(
    ("found", "arguments", "code"),
    [
        (Audit(Verdict.WEAK, ("jinja2 2.4.1: PYSEC-2019-217",)), [], 1),
        (Audit(Verdict.WEAK, ("jinja2 2.4.1: PYSEC-2019-217",)), ["--unaudited"], 1),
        (Audit(Verdict.NOT_CHECKED, ("no network",)), [], 1),
        (Audit(Verdict.NOT_CHECKED, ("no network",)), ["--unaudited"], 0),
    ],
)
def test_a_release_needs_dependencies_without_advisories_or_a_word_that_nobody_looked(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Audit, arguments: list[str], code: int
) -> None:
    monkeypatch.setattr(advisories, "audit", lambda _: found)
    monkeypatch.setattr(python_packages, "build", lambda *_: None)  # a quarter of a minute, and another test's
    out = tmp_path / "dist"

    build = ["build", VERSION, "--without-images", "--checkout", str(checkout), "--out", str(out), *arguments]
    assert main(build) == code

    assert out.exists() is (code == 0)
    if code == 0:
        assert (out / "NOTES.md").read_text().endswith("Dependencies: not checked.\n")


def test_the_archive_for_krew_is_the_one_whose_sum_the_manifest_names(dist: Path) -> None:
    manifest = yaml.safe_load((dist / "krew/order-platform.yaml").read_text())["spec"]
    (platform,) = manifest["platforms"]

    assert manifest["version"] == f"v{VERSION}"
    assert platform["sha256"] == hashlib.sha256((dist / "krew/kubectl-order.tar.gz").read_bytes()).hexdigest()


def test_the_program_of_the_archive_runs_without_any_installed_package(dist: Path, tmp_path: Path) -> None:
    """With kubectl, as krew has it: unpacked into a folder of its own."""
    with tarfile.open(dist / "krew/kubectl-order.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    program = tmp_path / "kubectl-order"
    kubectl = tmp_path / "kubectl"
    answer = {"clientVersion": {"gitVersion": "v1.36.3"}, "items": [], "spec": {"versions": []}}
    kubectl.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    kubectl.chmod(0o755)
    command = [sys.executable, "-I", "-S", str(program)]

    def said(*arguments: str) -> str:
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run([*command, *arguments], env=path, capture_output=True, text=True, check=True).stdout

    assert os.access(program, os.X_OK)
    assert VERSION in said("version")
    assert "flaky-calls" in said("create", "--scenario", "list")
    assert said("list", "-o", "name") == ""
    assert "Usage: kubectl order" in said("--help")
