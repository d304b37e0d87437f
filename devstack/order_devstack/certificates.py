"""Certificates and API keys for a Temporal that asks for them: private authorities, what they sign, signed tokens."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)
"""Longer than a stack lives."""
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A private certificate authority."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str) -> Self:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, subject, key.public_key(), VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def certificate(self) -> bytes:
        """As PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def sign(self, name: str, *, server: bool = False, valid: timedelta = VALID) -> Certificate:
        """A certificate of this authority: of a client, or of a `server` by its name and on this machine, which may be
        shown to others like it. A negative `valid` makes one that has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if server else [])]
        names = [x509.DNSName(name), *([x509.IPAddress(IPv4Address("127.0.0.1"))] if server else [])]
        certificate = (
            _builder(_name(name), self._certificate.subject, key.public_key(), valid)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(certificate.public_bytes(Encoding.PEM), private)


class TokenKey:
    """Signs tokens that Temporal's authorizer takes for API keys, by RS256."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, subject: str, permissions: Sequence[str], *, valid: timedelta = VALID) -> str:
        """`permissions` are `<namespace>:<role>`, or `temporal-system:<role>` for all of the server."""
        head = {"alg": "RS256", "kid": self.key_id, "typ": "JWT"}
        expires = int((datetime.now(UTC) + valid).timestamp())
        body = {"sub": subject, "permissions": list(permissions), "exp": expires}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(body).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def public(self) -> Mapping[str, str]:
        """One entry of a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": _encoded(numbers.n.to_bytes(256, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }


def write(file: Path, content: bytes) -> None:
    """Replace the file in one step, as a kubelet replaces those of a mounted Secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f"{file.suffix}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(file)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begin = min(now - _CLOCK_SKEW, now + valid - _CLOCK_SKEW)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + valid)
    )


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
