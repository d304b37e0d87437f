"""What every mail service has to do, and what only those do that remember their keys."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.message import EmailMessage
from typing import NamedTuple

import pytest
from smtp_server import HOST, Postbox, serving

from order_domain.errors import OperationConflict
from order_worker.bootstrap import Providers
from order_worker.providers import registry
from order_worker.providers.notification.port import Mailer
from order_worker.providers.notification.smtp import SMTPMailer


class Mail(NamedTuple):
    recipient: str
    subject: str
    body: str


class Service(NamedTuple):
    mailer: Mailer
    inbox: Callable[[], Awaitable[list[Mail]]]


def _text(mail: EmailMessage) -> str:
    # On its way every line ends with CR LF. Source: RFC 5322.
    return str(mail.get_content()).replace("\r\n", "\n")


@asynccontextmanager
async def simulated(providers: Providers) -> AsyncIterator[Service]:
    async def inbox() -> list[Mail]:
        assert providers.store is not None
        rows = await providers.store.transaction(lambda tx: tx.execute("SELECT * FROM mails").fetchall())
        return [Mail(row["recipient"], row["subject"], row["body"]) for row in rows]

    yield Service(providers.mailer, inbox)


@asynccontextmanager
async def smtp(_: Providers) -> AsyncIterator[Service]:
    postbox = Postbox()

    async def inbox() -> list[Mail]:
        return [Mail(str(mail["To"]), str(mail["Subject"]), _text(mail)) for mail in postbox.mails]

    async with serving(postbox) as port:
        variables = {
            "SMTP_HOST": HOST,
            "SMTP_PORT": str(port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "shop@example.com",
        }
        yield Service(SMTPMailer.from_environment(variables), inbox)


ADAPTERS: dict[str, Callable[[Providers], AbstractAsyncContextManager[Service]]] = {
    "simulated": simulated,
    "smtp": smtp,
}
WITHOUT_MEMORY = {"smtp"}
"""These cannot tell whether a mail was sent: a worker that dies between sending one and recording it sends it twice."""


@pytest.fixture(params=sorted(ADAPTERS))
async def service(request: pytest.FixtureRequest, providers: Providers) -> AsyncIterator[Service]:
    async with ADAPTERS[request.param](providers) as opened:
        yield opened


@pytest.fixture(params=sorted(ADAPTERS.keys() - WITHOUT_MEMORY))
async def remembering(request: pytest.FixtureRequest, providers: Providers) -> AsyncIterator[Mailer]:
    async with ADAPTERS[request.param](providers) as opened:
        yield opened.mailer


@pytest.fixture(params=sorted(WITHOUT_MEMORY))
async def forgetful(request: pytest.FixtureRequest, providers: Providers) -> AsyncIterator[Mailer]:
    async with ADAPTERS[request.param](providers) as opened:
        yield opened.mailer


async def send(mailer: Mailer, *, subject: str = "Yours", body: str = "On its way.\n") -> None:
    await mailer.send("key", recipient="ana@example.com", subject=subject, body=body)


def test_every_registered_provider_is_tested_here() -> None:
    assert ADAPTERS.keys() == registry.MAIL.keys()


async def test_a_mail_arrives_as_it_was_written(service: Service) -> None:
    await send(service.mailer, subject="Überraschung für dich", body="Größe: 42 €\n\nžluťoučký\n")
    assert await service.inbox() == [Mail("ana@example.com", "Überraschung für dich", "Größe: 42 €\n\nžluťoučký\n")]


async def test_a_mail_that_was_not_sent_is_unknown(service: Service) -> None:
    assert not await service.mailer.was_sent("key")


async def test_a_mail_that_was_sent_is_known(remembering: Mailer) -> None:
    await send(remembering)
    assert await remembering.was_sent("key")


async def test_one_key_with_another_mail_is_refused(remembering: Mailer) -> None:
    await send(remembering)
    with pytest.raises(OperationConflict):
        await send(remembering, body="Something else.")


async def test_a_service_without_memory_never_claims_that_a_mail_was_sent(forgetful: Mailer) -> None:
    await send(forgetful)
    assert not await forgetful.was_sent("key")
