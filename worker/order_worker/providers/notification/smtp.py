"""Mail over SMTP (RFC 5321).

SMTP has no idempotency keys and cannot say what it took: `was_sent` is always False. The Message-ID follows from the
key, so that a mail that goes out twice can be told from two mails, and many mail programs show it once.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Self

import aiosmtplib

from order_domain.errors import ProviderUnavailable, Undeliverable
from order_worker.providers.notification.port import Mailer
from order_worker.providers.notification.smtp_settings import DEFAULT_PORT, Security, SMTPSettings
from order_worker.providers.secret import Secret

DEADLINE_SECONDS = 9.0
"""For the whole conversation: below the 10 s that a step has by default, so that the worker says what was wrong."""

GOODBYE_SECONDS = 0.5


@dataclass(frozen=True)
class Server:
    """Where mail is handed in."""

    host: str
    port: int
    security: Security
    username: str | None
    password: Secret | None


class SMTPMailer(Mailer):
    """One connection per mail: a server may close one at any time, and there are few mails per order."""

    def __init__(self, server: Server, sender: Address) -> None:
        self._server = server
        self._sender = sender

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        given = SMTPSettings.from_environment(environment)
        password = Secret.of("SMTP_PASSWORD", given.password, given.password_file)
        port = given.port or DEFAULT_PORT[given.security]
        server = Server(given.host, port, given.security, given.username, password)
        return cls(server, Address(addr_spec=given.sender))

    async def send(self, key: str, *, recipient: str, subject: str, body: str) -> None:
        """Undeliverable where the server refuses the recipient or the mail for good (5xx); everything else that goes
        wrong may pass, or be put right."""
        message = self._message(key, recipient, subject, body)
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            username=server.username,
            password=None if server.password is None else server.password.read(),
        )
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await client.connect()
                await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from error
        except aiosmtplib.SMTPDataError as error:
            raise _refusal(error) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise ProviderUnavailable(f"{server.host}:{server.port} did not take the mail: {error!r}") from error
        else:
            with suppress(aiosmtplib.SMTPException, OSError):  # the mail is taken, whatever becomes of the goodbye
                await client.quit(timeout=GOODBYE_SECONDS)
        finally:
            client.close()  # `async with` would say goodbye to a server that does not answer, and wait a minute

    async def was_sent(self, key: str) -> bool:  # noqa: ARG002
        """SMTP cannot be asked; always False."""
        return False

    def _message(self, key: str, recipient: str, subject: str, body: str) -> EmailMessage:
        message = EmailMessage()
        message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{self._sender.domain}>"
        message["Date"] = datetime.now(UTC)
        message["From"] = self._sender
        # An order's data must not become a header: the address is parsed, and line breaks of the subject are spaces.
        message["To"] = _address(recipient)
        message["Subject"] = " ".join(subject.split())
        # Asks for no answer of an absent reader. Source: RFC 3834.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body)
        return message


def _address(text: str) -> Address:
    try:
        return Address(addr_spec=text)
    except (MessageError, ValueError, IndexError) as error:
        # Not repeated: it is somebody's address.
        raise Undeliverable("the customer's mail address cannot be used") from error


def _refusal(error: aiosmtplib.SMTPResponseException) -> Undeliverable | ProviderUnavailable:
    # The server's text may repeat the address, and the code says enough.
    if 500 <= error.code < 600:
        return Undeliverable(f"the mail server refused the mail with {error.code}")
    return ProviderUnavailable(f"the mail server answered {error.code}")
