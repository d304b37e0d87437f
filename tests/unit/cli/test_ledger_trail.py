"""`kubectl order audit --ledger`: the ledger's trail, by the console's route."""

import json
from pathlib import Path
from typing import Any

import pytest
from recorded_cluster import Ask, FakeCluster

CONSOLE = "https://orders.example.com"
ENTRY = {
    "uid": "328e",
    "seq": 3,
    "at": "2026-11-26 14:03:23.900000+00:00",
    "who": "workflow",
    "channel": "ledger",
    "what": "charge",
    "state": "done",
    "amount_minor": 150_000,
    "currency": "USD",
    "detail": "transactionID ch_7bd9",
}


@pytest.fixture(autouse=True)
def authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this machine, as far as the fake kubectl cares."""
    file = tmp_path / "authorities.pem"
    file.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def answers(fake: FakeCluster, flaws: list[str] | None = None, *, sealed: bool = False, **changed: Any) -> None:
    fake.answer("--raw /orders/", {"entries": [{**ENTRY, **changed}], "sealed": sealed, "flaws": flaws})


def test_kubectl_itself_asks_the_console_with_the_callers_credentials(kubectl_order: Ask, fake: FakeCluster) -> None:
    answers(fake)
    said = kubectl_order(f"audit order-1500 -n shop --ledger --console {CONSOLE}")

    (asked,) = [each["call"] for each in fake.calls() if "--raw" in each["call"]]
    assert asked.startswith(f"--server={CONSOLE} --certificate-authority=")
    assert asked.endswith("get --raw /orders/shop/order-1500/audit?format=json")
    assert said.code == 0
    assert "14:03:23.900  3    workflow  ledger  charge  done   1500.00 USD  transactionID ch_7bd9" in said.out


@pytest.mark.parametrize(
    ("flaws", "sealed", "code", "told"),
    [
        ([], False, 0, "✓ 1 events, no gap, chain intact"),
        (["event 3 was changed"], False, 1, "✗ event 3 was changed"),
        (None, True, 1, "sealed with a key that the console has not got"),
    ],
    ids=["intact", "forged", "sealed"],
)
def test_a_check_says_what_it_found_and_its_exit_code_too(
    kubectl_order: Ask, fake: FakeCluster, flaws: list[str] | None, sealed: bool, code: int, told: str
) -> None:
    answers(fake, flaws, sealed=sealed)
    said = kubectl_order(f"audit order-1500 -n shop --ledger --verify --console {CONSOLE}/")

    assert "audit?format=json&verify=yes" in "".join(each["call"] for each in fake.calls())
    assert (said.code, told in said.text) == (code, True), said


def test_it_is_a_file_for_programs_as_well(
    kubectl_order: Ask, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(fake)
    monkeypatch.setenv("ORDER_CONSOLE_URL", CONSOLE)

    assert json.loads(kubectl_order("audit order-1500 -n shop --ledger -o json").out)["entries"] == [ENTRY]
    assert kubectl_order("audit order-1500 -n shop --ledger -o csv").out.startswith("time,seq,who,via,what,state")


def test_what_the_ledger_holds_cannot_command_the_terminal(kubectl_order: Ask, fake: FakeCluster) -> None:
    answers(fake, who="\x1b[2Jevil", detail="\x1b]0;evil\x07")

    assert "\x1b" not in kubectl_order(f"audit order-1500 -n shop --ledger --console {CONSOLE}").out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--verify", "add --ledger"),
        ("--ledger", "where is the console?"),
        ("--ledger --console http://orders.example.com", "https:// addresses only"),
        (f"--ledger --console {CONSOLE} --as=bob", "the console knows nobody by --as"),
    ],
)
def test_what_cannot_be_asked_is_said(kubectl_order: Ask, flags: str, told: str) -> None:
    said = kubectl_order(f"audit order-1500 -n shop {flags}")

    assert (said.code, told in said.error) == (2, True), said


def test_a_refusal_of_the_console_is_one(kubectl_order: Ask, fake: FakeCluster) -> None:
    refusal = "you (bob) may not: this needs the verb audit on orders.order-platform.dev in shop"
    fake.answer("--raw /orders/", error=f"Error from server (Forbidden): {refusal}")
    said = kubectl_order(f"audit order-1500 -n shop --ledger --console {CONSOLE}")

    assert (said.code, refusal in said.error) == (6, True), said
