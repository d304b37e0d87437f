"""When what a program shows to Temporal ends, told in time: as a figure for an alert, and in the log once a day."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from temporalio.service import TLSConfig

from order_process.temporal_access import Access, begins_and_ends

LOG = logging.getLogger(__name__)

WARN_BEFORE = timedelta(days=14)
"""Enough for somebody who comes back from a holiday."""
WARN_AGAIN = timedelta(days=1)
PART_OF_ITS_LIFE = 4
"""A certificate of a day is renewed within the day: of its life a quarter is left before anybody is told."""

CREDENTIALS = {
    "certificate": "the certificate that is shown to Temporal",
    "authority": "the authority that Temporal's certificate is checked by",
    "api_key": "the API key for Temporal",
}
"""Values of the metric's label, and what they are called in the log."""

Tell = Callable[[str, int], None]
"""Told which credential ends, and when, in seconds since the epoch; 0 where there is none, or it does not say."""


@dataclass(frozen=True)
class Life:
    """Of one credential. A token need not say when it began."""

    begins: datetime | None
    ends: datetime

    def is_short(self, now: datetime) -> bool:
        """Whether somebody should renew it."""
        warned = WARN_BEFORE
        if self.begins is not None:
            warned = min(warned, (self.ends - self.begins) / PART_OF_ITS_LIFE)
        return self.ends - now < warned


class ExpiryWatch:
    """Looks at the credentials in place."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._access: Access | None = None
        self._lives: Mapping[str, Life] = {}
        self._warned: dict[str, datetime] = {}

    def look(self, access: Access, tell: Tell) -> None:
        """Once. What was warned of is warned of again a day later, and at once where another one is in place."""
        if access is not self._access:
            self._access, self._lives = access, lives(access)
            self._warned.clear()
            for credential in CREDENTIALS:
                life = self._lives.get(credential)
                tell(credential, int(life.ends.timestamp()) if life is not None else 0)
        now = self._clock()
        for credential, life in self._lives.items():
            if life.is_short(now) and now - self._warned.get(credential, now - WARN_AGAIN) >= WARN_AGAIN:
                self._warned[credential] = now
                LOG.warning(
                    "%s %s on %s; renew it",
                    CREDENTIALS[credential],
                    "ends" if life.ends > now else "ended",
                    f"{life.ends:%Y-%m-%d %H:%M} UTC",
                )


def lives(access: Access) -> dict[str, Life]:
    """Of what it has and what tells when it ends."""
    found: dict[str, Life] = {}
    if isinstance(access.tls, TLSConfig):
        if access.tls.client_cert is not None:  # of a chain the first is the program's own
            found["certificate"] = _life(x509.load_pem_x509_certificates(access.tls.client_cert)[:1])
        if access.tls.server_root_ca_cert is not None:  # a bundle holds former ones, too
            found["authority"] = _life(x509.load_pem_x509_certificates(access.tls.server_root_ca_cert))
    began, ends = begins_and_ends(access.api_key)
    if ends is not None:
        found["api_key"] = Life(began, ends)
    return found


def _life(certificates: list[x509.Certificate]) -> Life:
    """Of the one that ends last."""
    last = max(certificates, key=lambda each: each.not_valid_after_utc)
    return Life(last.not_valid_before_utc, last.not_valid_after_utc)
