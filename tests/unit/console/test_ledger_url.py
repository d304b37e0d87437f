"""Where the console finds the ledger: by a variable, or by a file that may change while it runs."""

from pathlib import Path

import pytest
from console_pieces import Browser, an_order
from fake_cluster import FakeCluster

from order_console import trail
from order_console.console import Console
from order_console.settings import Settings
from order_process.settings import SettingsError


def test_without_either_there_is_no_ledger() -> None:
    assert Settings.from_environment({}).ledger_url_now is None


def test_another_url_in_the_file_counts_for_the_next_trail(
    cluster: FakeCluster, browser: Browser, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that was replaced took a restart."""
    asked: list[str] = []

    def read(url: str, *_: str, verify: bool) -> trail.Trail:
        asked.append(url)
        return trail.Trail([])

    monkeypatch.setattr(trail, "read", read)
    file = tmp_path / "url"
    file.write_text("postgresql://reader:first@ledger/orders\n")
    console.ledger_url = Settings.from_environment({"ORDER_CONSOLE_LEDGER_URL_FILE": str(file)}).ledger_url_now
    cluster.put(an_order())
    cluster.allow("maria", "audit")

    assert browser("maria").get("/orders/shop/order-1500/audit").status_code == 200
    file.write_text("postgresql://reader:second@ledger/orders\n")
    assert browser("maria").get("/orders/shop/order-1500/audit").status_code == 200

    assert asked == ["postgresql://reader:first@ledger/orders", "postgresql://reader:second@ledger/orders"]


def test_a_file_that_is_away_for_a_moment_is_said_and_ends_nothing(
    cluster: FakeCluster, browser: Browser, console: Console, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://reader:first@ledger/orders")
    console.ledger_url = Settings.from_environment({"ORDER_CONSOLE_LEDGER_URL_FILE": str(file)}).ledger_url_now
    file.unlink()
    cluster.put(an_order())
    cluster.allow("maria", "audit")

    answer = browser("maria").get("/orders/shop/order-1500/audit")

    assert (answer.status_code, "ORDER_CONSOLE_LEDGER_URL_FILE" in answer.text) == (503, True)
    assert "first" not in answer.text


@pytest.mark.parametrize("both", [False, True])
def test_a_file_that_cannot_be_the_one_is_refused_at_the_start(tmp_path: Path, both: bool) -> None:
    file = tmp_path / "url"
    told = {"ORDER_CONSOLE_LEDGER_URL_FILE": str(file)}
    if both:
        file.write_text("sqlite:///ledger.db")
        told["ORDER_CONSOLE_LEDGER_URL"] = "sqlite:///secret.db"

    with pytest.raises(SettingsError, match="ORDER_CONSOLE_LEDGER_URL_FILE") as refused:
        Settings.from_environment(told)

    assert "secret" not in str(refused.value)
