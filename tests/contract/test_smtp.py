"""Mail over SMTP against a real server: headers, encryption, authentication, and each kind of refusal."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from smtp_server import HOST, Postbox, serving

from order_domain.errors import ProviderUnavailable, Undeliverable
from order_process.settings import SettingsError
from order_worker.providers.notification import smtp
from order_worker.providers.notification.smtp import SMTPMailer

MINIMAL = {"SMTP_HOST": "mail.example.com", "SMTP_FROM": "shop@example.com"}


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    """The server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    return context


@pytest.fixture
def _trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def mailer(port: int, *, security: str = "none", **changes: str) -> SMTPMailer:
    address = {"SMTP_HOST": HOST, "SMTP_PORT": str(port), "SMTP_SECURITY": security}
    return SMTPMailer.from_environment({**MINIMAL, **address, **changes})


@pytest.fixture
async def port(postbox: Postbox) -> AsyncIterator[int]:
    async with serving(postbox) as number:
        yield number


async def send(mailer: SMTPMailer, key: str = "key", *, subject: str = "Yours") -> None:
    await mailer.send(key, recipient="ana@example.com", subject=subject, body="On its way.\n")


async def test_a_mail_that_goes_out_twice_is_one_message(postbox: Postbox, port: int) -> None:
    await send(mailer(port))
    await send(mailer(port))
    first, second = (mail["Message-ID"] for mail in postbox.mails)
    assert first == second


async def test_two_mails_are_two_messages(postbox: Postbox, port: int) -> None:
    await send(mailer(port), "key")
    await send(mailer(port), "another key")
    first, second = (mail["Message-ID"] for mail in postbox.mails)
    assert first != second


async def test_a_line_break_in_a_subject_makes_no_header(postbox: Postbox, port: int) -> None:
    await send(mailer(port), subject="Yours\r\nBcc: eve@example.com")
    [mail] = postbox.mails
    assert (mail["Bcc"], mail["Subject"]) == (None, "Yours Bcc: eve@example.com")
    assert postbox.recipients == ["ana@example.com"]


@pytest.mark.parametrize(
    "recipient", ["ana@example.com\r\nBcc: eve@example.com", "ana@example.com,eve@example.com", "@"]
)
async def test_a_recipient_that_is_not_one_address_gets_no_mail(postbox: Postbox, port: int, recipient: str) -> None:
    with pytest.raises(Undeliverable):
        await mailer(port).send("key", recipient=recipient, subject="Yours", body="On its way.\n")
    assert postbox.mails == []


@pytest.mark.usefixtures("_trusted")
async def test_a_mail_goes_through_starttls(postbox: Postbox, certificate: ssl.SSLContext) -> None:
    async with serving(postbox, starttls=certificate) as port:
        await send(mailer(port, security="starttls"))
    assert postbox.encrypted == [True]


@pytest.mark.usefixtures("_trusted")
async def test_a_mail_goes_through_tls(postbox: Postbox, certificate: ssl.SSLContext) -> None:
    async with serving(postbox, tls=certificate) as port:
        await send(mailer(port, security="tls"))
    assert len(postbox.mails) == 1


async def test_a_server_without_starttls_gets_no_mail(postbox: Postbox, port: int) -> None:
    with pytest.raises(ProviderUnavailable):
        await send(mailer(port, security="starttls"))
    assert postbox.mails == []


async def test_a_certificate_of_nobody_gets_no_mail(postbox: Postbox, certificate: ssl.SSLContext) -> None:
    async with serving(postbox, starttls=certificate) as port:
        with pytest.raises(ProviderUnavailable):
            await send(mailer(port, security="starttls"))
    assert postbox.mails == []


@pytest.mark.usefixtures("_trusted")
async def test_a_rotated_password_counts_at_once(postbox: Postbox, certificate: ssl.SSLContext, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    login = {"SMTP_USERNAME": "shop", "SMTP_PASSWORD_FILE": str(file)}
    postbox.password = "new"
    async with serving(postbox, starttls=certificate, login=True) as port:
        with pytest.raises(ProviderUnavailable, match="535"):
            await send(mailer(port, security="starttls", **login))
        file.write_text("new\n")
        await send(mailer(port, security="starttls", **login))
    assert len(postbox.mails) == 1


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_refusal_for_good_is_final(postbox: Postbox, port: int, command: str) -> None:
    postbox.replies = {command: "550 5.1.1 no such mailbox"}
    with pytest.raises(Undeliverable, match="550"):
        await send(mailer(port))


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_refusal_for_now_may_pass(postbox: Postbox, port: int, command: str) -> None:
    postbox.replies = {command: "451 4.7.1 try again later"}
    with pytest.raises(ProviderUnavailable):
        await send(mailer(port))


async def test_a_refusal_does_not_repeat_the_address(postbox: Postbox, port: int) -> None:
    postbox.replies = {"RCPT": "550 5.1.1 ana@example.com does not exist"}
    with pytest.raises(Undeliverable) as refused:
        await send(mailer(port))
    assert "ana" not in str(refused.value)


async def test_a_server_that_never_answers_is_unavailable_within_the_deadline(
    postbox: Postbox, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    postbox.silent = True
    monkeypatch.setattr(smtp, "DEADLINE_SECONDS", 0.3)
    async with asyncio.timeout(20):
        with pytest.raises(ProviderUnavailable):
            await send(mailer(port))


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ProviderUnavailable):
        await send(mailer(1))


@pytest.mark.parametrize(("security", "port"), [("", 587), ("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_security(security: str, port: int) -> None:
    assert SMTPMailer.from_environment({**MINIMAL, "SMTP_SECURITY": security})._server.port == port


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"SMTP_HOST": ""}, "SMTP_HOST"),
        ({"SMTP_PORT": "smtp"}, "SMTP_PORT"),
        ({"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY"),
        ({"SMTP_USERNAME": "shop"}, "SMTP_PASSWORD"),
        ({"SMTP_PASSWORD": "secret"}, "SMTP_USERNAME"),
        ({"SMTP_USERNAME": "shop", "SMTP_PASSWORD": "secret", "SMTP_SECURITY": "none"}, "SMTP_SECURITY"),
        ({"SMTP_FROM": ""}, "SMTP_FROM"),
        ({"SMTP_FROM": "shop"}, "SMTP_FROM"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        SMTPMailer.from_environment({**MINIMAL, **changes})
