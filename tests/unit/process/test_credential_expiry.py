"""What a program shows to Temporal ends some day, and somebody hears of it before."""

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from order_devstack.certificates import Authority, TokenKey
from order_process import temporal_access
from order_process.credential_expiry import ExpiryWatch
from order_process.temporal_access import Access

AUTHORITY = Authority.create("a private one")
MADE = datetime.now(UTC)
DAY = timedelta(days=1)


class Watched:
    """A watch with a clock that a test turns on, and what it has told."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = datetime.now(UTC)
        self.ends: dict[str, datetime | None] = {}
        self._watch = ExpiryWatch(clock=lambda: self.now)
        self._log = caplog

    def look(self, access: Access, later: timedelta = timedelta()) -> list[str]:
        """The warnings of one look."""
        self.now += later
        self._log.clear()
        self._watch.look(access, self._tell)
        return [record.getMessage() for record in self._log.records if record.levelno == logging.WARNING]

    def _tell(self, credential: str, at: int) -> None:
        self.ends[credential] = datetime.fromtimestamp(at, UTC) if at else None


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Watched:
    return Watched(caplog)


def an_access(
    folder: Path, *, valid: timedelta = 60 * DAY, api_key: str = "no-token", authority: bytes = AUTHORITY.certificate
) -> Access:
    signed = AUTHORITY.sign("client", valid=valid)
    files = {"ca.crt": authority, "tls.crt": signed.certificate, "tls.key": signed.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return temporal_access.read(
        {
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(folder / "ca.crt"),
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(folder / "tls.crt"),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(folder / "tls.key"),
            "TEMPORAL_API_KEY": api_key,
        }
    )


def about(moment: datetime | None, expected: datetime) -> bool:
    return moment is not None and abs(moment - expected) < timedelta(minutes=1)


def test_each_credential_has_its_end_told_and_one_that_does_not_say_has_none(watched: Watched, tmp_path: Path) -> None:
    watched.look(an_access(tmp_path))

    assert about(watched.ends["certificate"], watched.now + 60 * DAY)
    assert about(watched.ends["authority"], MADE + 30 * DAY)
    assert watched.ends["api_key"] is None


def test_an_api_key_that_is_a_token_tells_its_end(watched: Watched, tmp_path: Path) -> None:
    token = TokenKey("one").token("worker", ["default:write"], valid=3 * DAY)

    [warning] = watched.look(an_access(tmp_path, api_key=token))

    assert about(watched.ends["api_key"], watched.now + 3 * DAY)
    assert warning.startswith("the API key for Temporal ends on ")


def test_two_weeks_before_the_end_it_is_warned_of_once_a_day_until_another_is_in_place(
    watched: Watched, tmp_path: Path
) -> None:
    token = TokenKey("one").token("worker", ["default:write"], valid=20 * DAY)
    access = an_access(tmp_path, api_key=token)

    assert watched.look(access) == []
    [warning] = watched.look(access, later=7 * DAY)
    assert watched.look(access, later=timedelta(hours=23)) == []
    assert watched.look(access, later=timedelta(hours=1)) == [warning]
    assert watched.look(an_access(tmp_path)) == []


def test_one_that_has_ended_is_still_told_of(watched: Watched, tmp_path: Path) -> None:
    [warning] = watched.look(an_access(tmp_path, valid=-DAY))

    assert " ended on " in warning


def test_a_certificate_of_a_day_is_no_news_while_it_is_fresh(watched: Watched, tmp_path: Path) -> None:
    access = an_access(tmp_path, valid=DAY)

    assert watched.look(access) == []
    assert len(watched.look(access, later=timedelta(hours=20))) == 1


def test_of_a_bundle_of_authorities_the_last_end_counts(watched: Watched, tmp_path: Path) -> None:
    """The former one may end: that is what the bundle is for."""
    watched.look(
        an_access(tmp_path, authority=AUTHORITY.sign("former", valid=-DAY).certificate + AUTHORITY.certificate)
    )

    assert about(watched.ends["authority"], MADE + 30 * DAY)
