"""The keys that payloads are encrypted with. Temporal does not have them."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from order_codec.undecodable import KeyMissing
from order_process import key_lines
from order_process.settings import SettingsError

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
KEY_BYTES = 32
"""AES-256."""


@dataclass(frozen=True)
class Key:
    """One key and its name."""

    key_id: str
    cipher: AESGCM = field(repr=False)


class KeyRing:
    """The keys of one file: lines of `<key id>: <base64 of 32 bytes>`. The first line is the key that is written with,
    unless a namespace has one of its own. Read again when the file has changed, so that a rotated Secret counts
    without a restart."""

    def __init__(self, file: Path | None, namespaces: Mapping[str, str] | None = None) -> None:
        """Without a file the ring is empty. `namespaces`: key id by Kubernetes namespace. Raises SettingsError if the
        file cannot be read or has a line that is no key."""
        self._file = file
        self.is_empty = file is None
        """For ever: no file will bring keys."""
        self._namespaces = dict(namespaces or {})
        self._seen = key_lines.stamp(self._file)
        self._looked = time.monotonic()
        self._secrets = self._read()
        self._keys = _keys(self._secrets)
        self.version = 1
        """Grows each time that other keys were read."""

    def writing(self, namespace: str | None) -> Key:
        """What payloads of a Kubernetes namespace are encrypted with; None: of no namespace. Raises KeyMissing."""
        self._look()
        key_id = self._namespaces.get(namespace or "") or next(iter(self._keys))
        return self._find(key_id)

    def reading(self, key_id: str) -> Key:
        """Raises KeyMissing."""
        self._look()
        return self._find(key_id)

    def _find(self, key_id: str) -> Key:
        if key_id not in self._keys:
            self.refresh()  # it may have come this moment
        key = self._keys.get(key_id)
        if key is None:
            raise KeyMissing(key_id)
        return key

    def _look(self) -> None:
        """An order has dozens of payloads: the file is looked at once for all of a moment."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self.refresh()

    def refresh(self) -> int:
        """`version`, after the file was read again if it has changed."""
        self._looked = time.monotonic()
        stamp = key_lines.stamp(self._file)
        if stamp == self._seen:
            return self.version
        # A file that is being replaced badly stops no order: they go on with the keys read before.
        self._seen = stamp
        try:
            secrets = self._read()
        except SettingsError as error:
            LOG.warning("the keys of payloads are not read again: %s", error)
            return self.version
        changed = [key_id for key_id, secret in secrets.items() if self._secrets.get(key_id, secret) != secret]
        if changed:
            # What was refused before must stay refused: a workflow replays alike, or not at all.
            LOG.warning(
                "the keys of payloads are not read again: %s would be another key than before; give a new key a new id",
                ", ".join(changed),
            )
        elif list(secrets.items()) != list(self._secrets.items()):
            self._secrets, self._keys = secrets, _keys(secrets)
            self.version += 1
            LOG.info("keys of payloads read again: %s", ", ".join(self._keys))
        return self.version

    def _read(self) -> dict[str, bytes]:
        if self._file is None:
            return {}
        name = "ORDER_ENCRYPTION_KEYS_FILE"
        try:
            text = self._file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"{name} cannot be read: {reason}") from None
        return key_lines.parse(name, text, least_bytes=KEY_BYTES, most_bytes=KEY_BYTES)


def _keys(secrets: Mapping[str, bytes]) -> dict[str, Key]:
    return {key_id: Key(key_id, AESGCM(secret)) for key_id, secret in secrets.items()}
