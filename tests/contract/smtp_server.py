"""A real SMTP server that keeps what it takes."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"


@dataclass
class Postbox:
    """The server's side."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    """Of the envelopes."""
    encrypted: list[bool] = field(default_factory=list)
    """How each mail came."""
    replies: dict[str, str] = field(default_factory=dict)
    """Given instead of doing anything, by command."""
    password: str = ""
    silent: bool = False
    """Takes a mail and never says so."""

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002
    ) -> str:
        """RCPT TO."""
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """The mail itself."""
        if "DATA" in self.replies:
            return self.replies["DATA"]
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        if self.silent:
            await asyncio.sleep(3600)
        return "250 OK"

    def authenticate(self, *arguments: object) -> AuthResult:
        """One user, by the last argument."""
        login = arguments[-1]
        assert isinstance(login, LoginPassword)
        success = (login.login, login.password) == (b"shop", self.password.encode())
        return AuthResult(success=success, handled=False)


@asynccontextmanager
async def serving(
    postbox: Postbox, *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[int]:
    """Port of the server."""

    def session() -> SMTP:
        return SMTP(
            postbox,
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=postbox.authenticate if login else None,
            auth_required=login,
        )

    server = await asyncio.get_running_loop().create_server(session, HOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
