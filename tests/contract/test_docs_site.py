"""The site of the documentation."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def built(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Of the documentation alone."""
    for folder in ("docs", "charts", "manifests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "devstack/order_devstack").mkdir(parents=True)
    shutil.copy(ROOT / "devstack/order_devstack/docs_site.py", tmp_path / "devstack/order_devstack")
    for file in (
        "mkdocs.yml",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def test_the_site_is_built_and_loads_nothing_from_elsewhere(checkout: Path) -> None:
    assert built(checkout).returncode == 0

    pages = "".join(page.read_text() for page in (checkout / "site").rglob("*.html"))
    assert "<table" in pages
    assert 'src="http' not in pages
    assert 'stylesheet" href="http' not in pages


def test_what_leads_nowhere_fails_the_build(checkout: Path) -> None:
    """Each is a warning, and one is enough."""
    texts = {
        "docs/status.md": "[gone](gone-page.md) [gone](#gone-section)",
        "README.md": "[gone](manifests/gone.yaml)",
        "docs/of-no-menu.md": "# A page",
    }
    for page, text in texts.items():
        with (checkout / page).open("a") as file:
            file.write(f"\n{text}\n")

    failed = built(checkout)

    assert failed.returncode != 0
    assert failed.stderr.count("WARNING") == 4, failed.stderr
    for name in ("gone-page.md", "#gone-section", "gone.yaml", "of-no-menu.md"):
        assert name in failed.stderr
