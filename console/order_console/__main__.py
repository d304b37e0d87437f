"""`order-console`: serves the page until it is told to stop."""

import asyncio
import contextlib
import copy
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

import uvicorn
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from order_console.access import Access
from order_console.api_server import ApiServer
from order_console.app import application
from order_console.classes import Classes
from order_console.console import Console
from order_console.identity import ByProxy, ByToken, Identity, OfKubeconfig, OfNobody
from order_console.reflector import Reflector
from order_console.sessions import Sessions
from order_console.settings import IdentityMode, Settings
from order_process.command_line import Exit, in_a_sentence, parser
from order_process.settings import Address, SettingsError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_SECONDS = 3
"""For pages that are open when the console is told to stop; their browsers come back by themselves."""

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until told to stop; exits with the code of `order_process.command_line.Exit`."""
    parser("order-console", "One page to follow orders and to decide about them.", [Settings]).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(in_a_sentence("order-console", _run, wrong_use=(ConfigException,)))


def _run() -> int:
    settings = Settings.from_environment(os.environ)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(settings))
    return Exit.FINE


async def serve(settings: Settings) -> None:
    """Until cancelled, or told to stop by a signal. Raises SettingsError."""
    if settings.listen is None:
        raise SettingsError("ORDER_CONSOLE_LISTEN must be an address such as 127.0.0.1:8088")
    local = settings.identity is IdentityMode.KUBECONFIG
    if local and settings.listen.host not in LOOPBACK:
        raise SettingsError(
            "ORDER_CONSOLE_LISTEN must be a loopback address while ORDER_CONSOLE_IDENTITY is kubeconfig: everybody who "
            "reaches the page would act with your rights"
        )
    door = _door(settings.listen)
    client, namespaces = await _client(settings)
    nobody = _without_credentials(client)
    try:
        hosts = {*LOOPBACK, *(host.lower() for host in _names(settings.hosts))}
        sessions = Sessions(settings.session_key, secure=not local, name=f"-{settings.listen.port}" if local else "")
        identity = _identity(settings, client, nobody, sessions)
        console = Console(
            identity=identity,
            access=Access(),
            classes=Classes(),
            reflector=Reflector(ApiServer(client), _names(settings.namespaces) or namespaces),
            own_rights=settings.identity in {IdentityMode.TOKEN, IdentityMode.PROXY},
            ledger_url=settings.ledger_url_now,
            logs_in=isinstance(identity, ByToken),
        )
        server = uvicorn.Server(
            uvicorn.Config(
                application(console, sessions, hosts),
                log_level="warning",
                access_log=False,  # addresses of pages hold names of orders
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
            )
        )
        where = f"http://{settings.listen.host}:{settings.listen.port}"
        if isinstance(identity, OfKubeconfig):
            print(f"open {where}/start?token={identity.token}\n(once; Ctrl-C ends it)", flush=True)  # noqa: T201
        else:
            logger.info("serving at %s", where)
        # uvicorn repeats the signal that ended it to who listened before; an end that was asked for is no failure.
        signal.signal(signal.SIGTERM, lambda *_: None)
        await server.serve([door])
    finally:
        door.close()
        await client.close()
        await nobody.close()


def _door(listen: Address) -> socket.socket:
    """Open before anything is promised. Raises SettingsError."""
    try:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        return socket.create_server((listen.host, listen.port), family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)  # a name's are negative
        raise SettingsError(f"ORDER_CONSOLE_LISTEN is {listen}: {why}; another console may run there") from error


def _identity(settings: Settings, client: ApiClient, nobody: ApiClient, sessions: Sessions) -> Identity:
    if settings.identity is IdentityMode.KUBECONFIG:
        return OfKubeconfig(client, sessions)
    if settings.identity is IdentityMode.TOKEN:
        return ByToken(nobody, sessions)
    if settings.identity is IdentityMode.ANONYMOUS:
        return OfNobody(client, sessions)
    return ByProxy(client, sessions, settings.proxy_secret, _names(settings.proxy_groups))


def _without_credentials(client: ApiClient) -> ApiClient:
    """The same way to the API server, for who brings a token: a certificate of the console's would count instead."""
    configuration = copy.copy(client.configuration)
    configuration.cert_file = configuration.key_file = None
    configuration.api_key, configuration.api_key_prefix = {}, {}
    return ApiClient(configuration)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in text.split(","))))


async def _client(settings: Settings) -> tuple[ApiClient, tuple[str, ...]]:
    """The client, and the namespace of the context, if there is one."""
    configuration = Configuration()
    if settings.identity is not IdentityMode.KUBECONFIG and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(configuration)
        return ApiClient(configuration), ()
    await config.load_kube_config(context=settings.context or None, client_configuration=configuration)
    contexts, current = config.list_kube_config_contexts()
    chosen = next((each for each in contexts if each["name"] == settings.context), current)
    return ApiClient(configuration), (str(chosen["context"].get("namespace") or "default"),)


if __name__ == "__main__":
    main()
