"""How a program reaches Temporal, and what it shows to be let in.

The SDK's own environment variables and profiles say it, as they do for Temporal's own tools: TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE, TEMPORAL_TLS_…, TEMPORAL_API_KEY, TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE. They know no file for the
API key; TEMPORAL_API_KEY_FILE is ours. What cannot be used is refused in a sentence that names the variable.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS, ClientConnectConfig
from temporalio.service import TLSConfig

from order_process.settings import SettingsError

API_KEY_FILE = "TEMPORAL_API_KEY_FILE"
"""Wins over TEMPORAL_API_KEY: Temporal's worker controller sets that one, and a variable cannot be replaced while a
program runs."""
ADDRESS = "localhost:7233"
"""Where nothing is said."""
_CERTIFICATE = "TEMPORAL_TLS_CLIENT_CERT_PATH"
_KEY = "TEMPORAL_TLS_CLIENT_KEY_PATH"
_AUTHORITY = "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
_NAMES = {
    _CERTIFICATE: ("TEMPORAL_TLS_CLIENT_CERT_DATA", "client_cert_path"),
    _KEY: ("TEMPORAL_TLS_CLIENT_KEY_DATA", "client_key_path"),
    _AUTHORITY: ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "server_ca_cert_path"),
}
"""What says the same: a variable with the text itself, and the entry of a profile."""


@dataclass(frozen=True, repr=False)
class Access:
    """As the variables and files have it now."""

    address: str
    namespace: str
    tls: bool | TLSConfig
    api_key: str | None
    headers: Mapping[str, str]
    flaw: str | None = field(compare=False)
    """Why Temporal is likely to refuse this, in a sentence; the program goes on trying."""

    def connect_arguments(self) -> ClientConnectConfig:
        """For `Client.connect`."""
        arguments = ClientConnectConfig(target_host=self.address, namespace=self.namespace, tls=self.tls)
        if self.api_key is not None:
            arguments["api_key"] = self.api_key
        if self.headers:
            arguments["rpc_metadata"] = self.headers
        return arguments

    def connects_as(self, other: "Access") -> bool:
        """Whether a connection made for the other serves for this one, once it has this one's key and headers."""
        return (self.address, self.namespace, self.tls) == (other.address, other.namespace, other.tls)


def read(environment: Mapping[str, str]) -> Access:
    """Look at the variables and at every file that they name. Raises SettingsError."""
    try:
        profile = ClientConfigProfile.load(override_env_vars=dict(environment))
    except (RuntimeError, OSError, ValueError, TypeError) as wrong:
        words = " ".join(str(wrong).split())
        raise SettingsError(f"the TEMPORAL_… variables or their profile cannot be used: {words}") from wrong
    flaw = None
    if environment.get(API_KEY_FILE):
        key, flaw = _key_of_file(Path(environment[API_KEY_FILE]))
        # Also without one TLS is on by default, as it is with one.
        profile = replace(profile, api_key=key or "")
    tls, late = _tls(profile.tls, environment)
    arguments = replace(profile, tls=None).to_client_connect_config()
    return Access(
        address=arguments.get("target_host", ADDRESS),
        namespace=arguments.get("namespace", "default"),
        tls=arguments.get("tls", False) if tls is None else tls,
        api_key=profile.api_key or None,
        headers=arguments.get("rpc_metadata", {}),
        flaw=flaw or late or _expired_key(profile.api_key, environment),
    )


def _key_of_file(file: Path) -> tuple[str | None, str | None]:
    """The key, or why there is none: taking it out of the Secret takes it from the program."""
    try:
        key = file.read_text().strip()
    except FileNotFoundError:
        return (
            None,
            f"there is no API key for Temporal: {API_KEY_FILE} names {file}, which does not exist; put it there",
        )
    except (OSError, UnicodeDecodeError) as wrong:
        return None, f"there is no API key for Temporal: {API_KEY_FILE}: {file} cannot be read: {_words(wrong)}"
    if not key:
        return None, f"there is no API key for Temporal: {API_KEY_FILE} names {file}, which is empty; put it there"
    if not key.isascii() or not key.isprintable():
        return None, f"there is no API key for Temporal: {API_KEY_FILE}: {file} holds more than one line of ASCII"
    return key, None


def begins_and_ends(key: str | None) -> tuple[datetime | None, datetime | None]:
    """Of an API key that is a token and tells these. Its signature is Temporal's affair."""
    try:
        _, body, _ = (key or "").split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        ends = datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):  # not such a token
        return None, None
    try:
        return datetime.fromtimestamp(claims["iat"], UTC), ends
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None, ends


def _expired_key(key: str | None, environment: Mapping[str, str]) -> str | None:
    _, ends = begins_and_ends(key)
    if ends is None or ends >= datetime.now(UTC):
        return None
    name = API_KEY_FILE if environment.get(API_KEY_FILE) else "TEMPORAL_API_KEY"
    return f"the API key for Temporal ended on {_moment(ends)}: replace it, {name}"


def _tls(given: ClientConfigTLS | None, environment: Mapping[str, str]) -> tuple[bool | TLSConfig | None, str | None]:
    """What to connect with, None where nothing is said, and a flaw."""
    if given is None:
        return None, None
    if given.disabled:
        return False, None
    certificate = _content(_CERTIFICATE, given.client_cert, environment)
    key = _content(_KEY, given.client_private_key, environment)
    authority = _content(_AUTHORITY, given.server_root_ca_cert, environment)
    flaws = [
        None if authority is None else _judge(_AUTHORITY, authority, environment),
        _judge_pair(certificate, key, environment),
    ]
    config = TLSConfig(
        server_root_ca_cert=authority, domain=given.server_name, client_cert=certificate, client_private_key=key
    )
    return config, next(filter(None, flaws), None)


def _content(name: str, source: Path | str | bytes | None, environment: Mapping[str, str]) -> bytes | None:
    if source is None or isinstance(source, bytes):
        return source
    if isinstance(source, str):
        return source.encode()
    try:
        return source.read_bytes()
    except OSError as wrong:
        raise SettingsError(f"{_said_by(name, environment)}: {source} cannot be read: {_words(wrong)}") from wrong


def _judge_pair(certificate: bytes | None, key: bytes | None, environment: Mapping[str, str]) -> str | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError(f"{_CERTIFICATE} and {_KEY} belong together: set both")
    flaw = _judge(_CERTIFICATE, certificate, environment)
    wrong = _misfit(certificate, key)
    if wrong is not None:
        raise SettingsError(
            wrong.format(certificate=_said_by(_CERTIFICATE, environment), key=_said_by(_KEY, environment))
        )
    return flaw


@lru_cache(maxsize=2)  # of a pair that stays; checking the key of a long RSA certificate takes a tenth of a second
def _misfit(certificate: bytes, key: bytes) -> str | None:
    """Why the key is not the certificate's, with places for their names. The certificate is known to be one."""
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        return "{key}: the key has a passphrase; store it without one"
    except (ValueError, UnsupportedAlgorithm):
        return "{key}: that is no private key in PEM"
    first, *_ = x509.load_pem_x509_certificates(certificate)
    try:
        fits = first.public_key() == private.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "{certificate}: its kind of key is not known"
    return None if fits else "{certificate} and {key}: the key is not that of the certificate; replace both"


def _judge(name: str, pem: bytes, environment: Mapping[str, str]) -> str | None:
    """Of certificates: whether one is in force."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise SettingsError(f"{_said_by(name, environment)}: that is no certificate in PEM") from None
    now = datetime.now(UTC)
    # A bundle of authorities holds former ones. Of a chain the first is the program's own.
    judged = certificates if name == _AUTHORITY else certificates[:1]
    if all(each.not_valid_after_utc < now for each in judged):
        ended = max(each.not_valid_after_utc for each in judged)
        return f"{_said_by(name, environment)}: the certificate ended on {_moment(ended)}; renew it"
    if all(each.not_valid_before_utc > now for each in judged):
        begins = min(each.not_valid_before_utc for each in judged)
        return f"{_said_by(name, environment)}: the certificate begins on {_moment(begins)}; is the clock right?"
    return None


def _said_by(name: str, environment: Mapping[str, str]) -> str:
    """What to correct: the variable that is set, or the entry of the profile."""
    text, entry = _NAMES[name]
    return next((each for each in (name, text) if environment.get(each)), f"{entry} of Temporal's profile")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _words(wrong: Exception) -> str:
    return (wrong.strerror if isinstance(wrong, OSError) else None) or str(wrong)
