"""What `make generate` writes is committed, and is what the models say today."""

import shutil
from pathlib import Path

import pytest

from order_devstack.reference import __main__ as reference
from order_operator.crd.__main__ import generated_files, main, stale_files

ROOT = Path(__file__).resolve().parents[2]


def test_no_generated_file_is_stale() -> None:
    assert stale_files(ROOT, generated_files(ROOT)) == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("manifests", "charts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "manifests/crds/orders.yaml",
        "charts/order-platform-crds/templates/orderclasses.yaml",
        "charts/order-platform/files/classes/standard.yaml",
    ],
)
def test_the_check_fails_naming_the_file_that_was_edited(
    checkout: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (checkout / file).open("a") as stream:
        stream.write("# by hand\n")

    assert main(["--check", "--root", str(checkout)]) == 1
    assert file in capsys.readouterr().err


def test_a_copy_whose_source_is_gone_is_removed(checkout: Path) -> None:
    (checkout / "manifests/classes/threshold.yaml").unlink()

    assert main(["--root", str(checkout)]) == 0

    assert not (checkout / "charts/order-platform/files/classes/threshold.yaml").exists()


def test_no_page_of_the_reference_is_stale() -> None:
    assert reference.main(["--check", "--root", str(ROOT)]) == 0


def test_a_stale_page_of_the_reference_is_named_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "docs/reference/metrics.md"
    assert reference.main(["--root", str(tmp_path)]) == 0
    capsys.readouterr()
    page.write_text("# Metrics\n")

    assert reference.main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "docs/reference/metrics.md is stale: run make generate\n"
    assert reference.main(["--root", str(tmp_path)]) == 0
    assert page.read_text() == (ROOT / "docs/reference/metrics.md").read_text()
