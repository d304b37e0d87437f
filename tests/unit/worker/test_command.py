"""The command line: each refusal is one sentence and exit code 2."""

import contextlib
import socket
import sqlite3
from pathlib import Path

import pytest

from order_worker.__main__ import main


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("ORDER_WORKER_PROVIDER_STORE", str(tmp_path / "providers.db"))


def test_a_wrong_setting_ends_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ORDER_WORKER_PROBES_ADDRESS", "nowhere")
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "order-worker: ORDER_WORKER_PROBES_ADDRESS is 'nowhere': write <host>:<port>, or nothing to switch it off\n"
    )


def test_a_wrong_role_is_refused_with_the_right_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDER_WORKER_ROLES", "billing")
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "order-worker: ORDER_WORKER_ROLES is 'billing': write one or more of orders, shipping, with commas\n"
    )


@pytest.mark.parametrize(
    ("variable", "provider", "missing"),
    [
        ("ORDER_WORKER_PAYMENT_PROVIDER", "stripe", "ORDER_LEDGER_URL"),
        ("ORDER_WORKER_MAIL_PROVIDER", "smtp", "SMTP_HOST"),
        ("ORDER_WORKER_MAIL_PROVIDER", "pigeon", "ORDER_WORKER_MAIL_PROVIDER"),
    ],
)
def test_a_provider_that_cannot_be_used_ends_the_worker_by_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    provider: str,
    missing: str,
) -> None:
    assert main(["migrate"]) == 0
    monkeypatch.setenv(variable, provider)
    assert main([]) == 2
    assert missing in capsys.readouterr().err


def test_the_worker_does_not_start_on_an_unmigrated_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "run `order-worker migrate`" in capsys.readouterr().err


def test_stock_is_added_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert main(["ensure-stock", "A=5"]) == 0
    assert main(["ensure-stock", "A=7", "B=1"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "A: added with 5",
        "A: exists, left alone",
        "B: added with 1",
    ]


def test_a_ledger_whose_audit_trail_was_cut_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert main(["verify-audit"]) == 0
    order = (
        "'u', 'shop', 'order', 'A-1', 'ana', 'USD', 1, 'Order Received', NULL, 1, 'sealed', '2026-11-21', '2026-11-21'"
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger, ledger:
        columns = (
            "uid, namespace, name, order_id, customer_id, currency, total_minor, status, message, last_seq, last_hash"
        )
        ledger.execute(f"INSERT INTO orders ({columns}, created_at, updated_at) VALUES ({order})")  # noqa: S608

    assert main(["verify-audit"]) == 1
    assert "order shop/order (u): the trail ends at event 0, not at 1" in capsys.readouterr().out


def test_a_malformed_stock_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["ensure-stock", "A=many"])
    assert "<sku>=<whole number>" in capsys.readouterr().err


def test_a_taken_port_ends_the_worker_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate"]) == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("ORDER_WORKER_PROBES_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        assert main([]) == 2
    assert "ORDER_WORKER_PROBES_ADDRESS" in capsys.readouterr().err


def test_an_unknown_temporal_profile_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate"]) == 0
    monkeypatch.setenv("ORDER_WORKER_PROBES_ADDRESS", "")
    monkeypatch.setenv("ORDER_WORKER_METRICS_ADDRESS", "")
    monkeypatch.setenv("TEMPORAL_PROFILE", "nowhere")
    assert main([]) == 2
    assert "TEMPORAL_" in capsys.readouterr().err
