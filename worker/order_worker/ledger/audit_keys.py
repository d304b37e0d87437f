"""The keys that seal the audit chain. The ledger's database does not hold them."""

import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from order_domain.errors import ProviderUnavailable
from order_process import key_lines
from order_process.settings import ProgramSettings, SettingsError, UnrepeatedIfAny
from order_worker.providers.secret import Secret

LOG = logging.getLogger(__name__)

VARIABLE = "ORDER_LEDGER_AUDIT_KEY"
"""Holds the ring itself; `ORDER_LEDGER_AUDIT_KEY_FILE` names a file that does."""

LEAST_BYTES = 32
"""The size of the hash: a shorter key would be the weakest part."""


class AuditSettings(ProgramSettings):
    """Where the ring is."""

    model_config = SettingsConfigDict(env_prefix="ORDER_LEDGER_")
    title = "The worker's audit trail"

    audit_key: UnrepeatedIfAny = Field(
        None,
        description="Lines of <key id>: <base64 of 32 bytes or more>, the current key first. Without any key the trail "
        "is a plain hash chain, which anybody who can write the ledger can forge.",
    )
    audit_key_file: Path | None = Field(
        None, description="File with these lines, in place of the variable. Read again when it has changed."
    )


@dataclass(frozen=True, repr=False)
class AuditKey:
    """One secret and its name."""

    key_id: str
    secret: bytes

    def seal(self, text: str) -> str:
        """HMAC-SHA256, as 64 hexadecimal digits."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()


class KeyRing:
    """All keys that events are sealed with: the first line of the ring is the current one, the others are kept for the
    events of before. Read again when it has changed, so that a rotated Secret counts without a restart."""

    def __init__(self, secret: Secret) -> None:
        """Raises SettingsError if the ring cannot be read or has a line that is none of `key-id: base64`."""
        self._secret = secret
        try:
            self._text = secret.read()
        except ProviderUnavailable as error:
            raise SettingsError(str(error)) from error
        self._keys = _parse(secret.name, self._text)
        self._seen = key_lines.stamp(self._secret.file)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """None without a key: the chain is then a plain hash chain. Raises SettingsError."""
        given = AuditSettings.from_environment(environment)
        secret = Secret.of(VARIABLE, given.audit_key, given.audit_key_file)
        return None if secret is None else cls(secret)

    def current(self) -> AuditKey:
        """What new events are sealed with."""
        self._refresh()
        return next(iter(self._keys.values()))

    def find(self, key_id: str) -> AuditKey | None:
        """None if the ring has no key of that name."""
        self._refresh()
        return self._keys.get(key_id)

    def _refresh(self) -> None:
        stamp = key_lines.stamp(self._secret.file)
        if stamp == self._seen:
            return
        # Events go on with the keys read before: an order must not stop because a file is being replaced badly.
        self._seen = stamp
        try:
            text = self._secret.read()
            if text != self._text:
                self._keys = _parse(self._secret.name, text)
                self._text = text
                LOG.info("audit keys read again: %s is the current one", next(iter(self._keys)))
        except (ProviderUnavailable, SettingsError) as error:
            LOG.warning("audit keys are not read again: %s", error)


def _parse(name: str, text: str) -> dict[str, AuditKey]:
    keys = key_lines.parse(name, text, least_bytes=LEAST_BYTES)
    return {key_id: AuditKey(key_id, secret) for key_id, secret in keys.items()}
