"""The certificate that the codec server shows, replaced in its files while it serves."""

import asyncio
import logging
import ssl
from pathlib import Path

from order_process import key_lines
from order_process.settings import SettingsError

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 10.0


class OwnCertificate:
    """Holds the context of a server; connections that are made after `look` see what the files have."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises SettingsError."""
        self._files = certificate, key
        self._seen = self._stamps()
        try:
            self.context = self._loaded()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"ORDER_CODEC_TLS_CERTIFICATE_FILE cannot be used: {error}") from None

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Once. Files that cannot be used leave the former certificate in use."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            # Into another context first: a key that does not fit would leave half of it in the one that serves.
            self._loaded()
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            LOG.warning("the codec server's certificate is not read again: %s", error)
        else:
            LOG.info("the codec server shows another certificate from now on")

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [key_lines.stamp(file) for file in self._files]

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._files)
        return context
