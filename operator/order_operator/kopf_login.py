"""kopf's way to the API server, as kopf itself would make it, except for what is made of the answers."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import kopf


class Answered(Protocol):
    """Told of each request that the API server answered, whatever the answer."""

    def __call__(self, path: str, *, watch: bool) -> None:
        """`watch`: it asked for changes, and not for a list."""


def login(
    answered: Answered, answers: type[aiohttp.ClientResponse] = aiohttp.ClientResponse
) -> Callable[..., Awaitable[kopf.AiohttpSession | None]]:
    """A login handler for one run of kopf, whose answers are read by the class `answers`."""
    made: list[tuple[kopf.ConnectionInfo, kopf.AiohttpSession]] = []

    async def log_in(**kwargs: Any) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        if found is None:
            return None
        for credentials, session in made:
            if credentials == found:
                return session  # they were refused, and kopf knows that by the session: another would be tried for ever
        made.append((found, _session(found, answered, answers)))
        return made[-1][1]

    return log_in


def _session(
    credentials: kopf.ConnectionInfo, answered: Answered, answers: type[aiohttp.ClientResponse]
) -> kopf.AiohttpSession:
    """As kopf makes its own."""

    async def note(_: aiohttp.ClientSession, __: SimpleNamespace, ended: aiohttp.TraceRequestEndParams) -> None:
        answered(ended.url.path, watch="watch" in ended.url.query)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(note)  # the head of the answer is there; a watch goes on behind it
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=credentials.as_ssl_context()),
        headers=credentials.as_http_headers(),
        proxy=credentials.proxy_url,
        trust_env=credentials.trust_env,
        trace_configs=[trace],
        response_class=answers,
    )
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=credentials.server,
        default_namespace=credentials.default_namespace,
        priority=credentials.priority,
        expiration=credentials.expiration,
    )
