"""A stack that encrypts: from when on, and who gets the keys."""

from pathlib import Path

import pytest

from order_codec.settings import EncryptionSettings
from order_devstack import encryption, temporal_server
from order_devstack.command_line import main
from order_devstack.stack import Stack

PORTS = {"temporal": 1, "temporal-ui": 2, "codec-server": 3, "codec-server-probes": 4}


def test_a_stack_encrypts_from_when_it_is_told_to_and_keeps_its_key(tmp_path: Path) -> None:
    assert encryption.variables(tmp_path) == {}

    encryption.switch_on(tmp_path)
    settings = EncryptionSettings.from_environment(encryption.variables(tmp_path))
    key = settings.ring().writing(None).key_id
    content = (tmp_path / "encryption-keys").read_text()
    encryption.switch_on(tmp_path)

    assert settings.write
    assert key == "devstack-1"
    assert (tmp_path / "encryption-keys").read_text() == content
    assert (tmp_path / "encryption-keys").stat().st_mode & 0o077 == 0


def test_the_web_ui_is_told_of_the_codec_server_of_a_stack_that_encrypts_and_of_no_other(tmp_path: Path) -> None:
    def command() -> str:
        return " ".join(temporal_server.temporal(Path("temporal"), tmp_path, PORTS, {}, ui=True).command)

    assert "codec" not in command()
    encryption.switch_on(tmp_path)
    assert "--ui-codec-endpoint=http://127.0.0.1:3" in command()


def test_a_running_stack_does_not_begin_to_encrypt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its programs would go on without the key, and could not read what others write."""
    monkeypatch.setattr(Stack, "pid", lambda *_: 1)

    assert main(["--dir", str(tmp_path), "up", "--encrypt"]) == 1

    assert "make down" in capsys.readouterr().err
    assert not encryption.is_on(tmp_path)
