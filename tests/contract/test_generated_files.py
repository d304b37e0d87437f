"""What `make generate` writes is committed, and is what the models say today."""

import shutil
from pathlib import Path

import pytest

from order_devstack import settings_page
from order_operator.crd.__main__ import main, stale_files

ROOT = Path(__file__).resolve().parents[2]


def test_no_generated_file_is_stale() -> None:
    assert stale_files(ROOT) == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    assert main(["--root", str(tmp_path)]) == 0
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


def test_the_reference_of_the_settings_is_not_stale() -> None:
    assert settings_page.main(["--check"]) == 0


def test_a_stale_reference_of_the_settings_is_named_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "settings.md"
    page.parent.mkdir()
    page.write_text("# Settings\n")
    monkeypatch.setattr(settings_page, "PAGE", page)

    assert settings_page.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/settings.md is stale: run make generate\n"
    assert settings_page.main([]) == 0
    assert settings_page.main(["--check"]) == 0
