"""`order-codec-server`: serves the codec until it is told to stop."""

import asyncio
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence

from aiohttp import web

from order_codec.access import Access, ByApiServer, Everybody
from order_codec.own_certificate import OwnCertificate
from order_codec.server import AUDIT, CodecServer
from order_codec.server_settings import IdentityMode, ServerSettings
from order_codec.settings import EncryptionSettings
from order_process import logs
from order_process.command_line import Exit, in_a_sentence, parser
from order_process.probes import probes, serving
from order_process.settings import SettingsError
from order_workflows.contract import whose

PROGRAM = "order-codec-server"
SETTINGS = (ServerSettings, EncryptionSettings)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until told to stop; exits with the code of `order_process.command_line.Exit`."""
    parser(PROGRAM, "Decodes payloads for Temporal's Web UI and command line.", SETTINGS).parse_args(arguments)
    logs.configure(whose)
    _record_callers()
    sys.exit(in_a_sentence(PROGRAM, _run))


def _record_callers() -> None:
    record = logging.StreamHandler()
    record.setFormatter(logs.JsonLine(whose, names_people=True))
    AUDIT.addHandler(record)
    AUDIT.propagate = False


def _run() -> int:
    asyncio.run(_serve(ServerSettings.from_environment(os.environ), EncryptionSettings.from_environment(os.environ)))
    return Exit.FINE


async def _serve(settings: ServerSettings, encryption: EncryptionSettings) -> None:
    if encryption.keys_file is None:
        raise SettingsError("ORDER_ENCRYPTION_KEYS_FILE must be set")
    if settings.listen is None:
        raise SettingsError("ORDER_CODEC_LISTEN must be an address such as 0.0.0.0:8086")
    server = CodecServer(encryption.ring(), _access(settings), settings.origins, write=encryption.write)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    own = _own_certificate(settings)
    renewing = asyncio.create_task(own.watch()) if own is not None else None
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    try:
        try:
            context = own.context if own is not None else None
            site = web.TCPSite(runner, settings.listen.host, settings.listen.port, ssl_context=context)
            await site.start()
        except OSError as error:
            raise SettingsError(f"ORDER_CODEC_LISTEN is {str(settings.listen)!r}: {error.strerror or error}") from error
        async with serving(settings.probes, probes(alive=_fine, ready=_fine), variable="ORDER_CODEC_PROBES"):
            await stop.wait()
    finally:
        if renewing is not None:
            renewing.cancel()
        await runner.cleanup()


async def _fine() -> None:
    """It answers, and that is all it does: the API server is asked for each caller anew."""


def _access(settings: ServerSettings) -> Access:
    if settings.identity is IdentityMode.NONE:
        return Everybody()
    file = settings.api_server_ca_file
    try:
        certificates = None if file is None else ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ORDER_CODEC_API_SERVER_CA_FILE is {str(file)!r}: {error}") from None
    return ByApiServer(settings.api_server, certificates)


def _own_certificate(settings: ServerSettings) -> OwnCertificate | None:
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    return OwnCertificate(settings.tls_certificate_file, settings.tls_key_file)


if __name__ == "__main__":
    main()
