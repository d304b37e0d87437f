"""The codec server's certificate is renewed in its files, as cert-manager does it, and shown without a restart."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from order_codec.own_certificate import OwnCertificate
from order_devstack.certificates import Authority, write
from order_process.settings import SettingsError

AUTHORITY = Authority.create("a private one")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certify(tmp_path / "tls.crt", tmp_path / "tls.key")
    return tmp_path / "tls.crt", tmp_path / "tls.key"


def certify(certificate: Path, key: Path) -> None:
    signed = AUTHORITY.sign("codec.example.com", server=True)
    write(key, signed.key)
    write(certificate, signed.certificate)


@asynccontextmanager
async def served(own: OwnCertificate) -> AsyncIterator[int]:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=own.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def shown(port: int) -> bytes:
    """The certificate that a new connection sees."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


async def test_a_renewed_certificate_is_shown_to_the_next_connection(files: tuple[Path, Path]) -> None:
    own = OwnCertificate(*files)
    async with served(own) as port:
        before = await shown(port)
        certify(*files)
        own.look()

        assert await shown(port) != before


async def test_a_certificate_without_its_key_leaves_the_former_one_in_use(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    own = OwnCertificate(*files)
    async with served(own) as port:
        before = await shown(port)
        write(files[0], AUTHORITY.sign("codec.example.com", server=True).certificate)
        with caplog.at_level(logging.WARNING):
            own.look()

        assert await shown(port) == before
    assert "is not read again" in caplog.text


def test_files_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ORDER_CODEC_TLS_CERTIFICATE_FILE cannot be used"):
        OwnCertificate(tmp_path / "tls.crt", tmp_path / "tls.key")
