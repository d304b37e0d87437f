"""Credentials that are replaced in their files count while the program runs (decision 0038).

An API key is put into the client that there is. Certificates belong to a connection, so that others need another
client. That one is put in place once it has reached Temporal: until then the former one does what it still can. Files
are looked at every few seconds and compared by their content: Kubernetes replaces a whole directory behind a link, of
which a watch of the file itself hears nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from temporalio.client import Client

from order_process import temporal_access
from order_process.credential_expiry import ExpiryWatch, Tell
from order_process.settings import SettingsError
from order_process.temporal_access import Access
from order_process.temporal_refusals import refusal

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""Between two looks. A kubelet takes a minute or two to bring a changed Secret."""
CONNECT_SECONDS = 10.0

Connect = Callable[[Access], Awaitable[Client]]


class Rotation:
    """Keeps one client's credentials as the files have them."""

    def __init__(
        self, environment: Mapping[str, str], access: Access, connect: Connect, replace: Callable[[Client], None]
    ) -> None:
        """`access`: what the client was made of; `connect`: makes another one that has reached Temporal; `replace`:
        puts it in the place of the former one."""
        self._environment = environment
        self._access = access
        self._connect = connect
        self._replace = replace
        self._told: str | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when other credentials are in place."""
        self.problem: str | None = access.flaw
        """What is wrong with the files, or with the newest of them; None while nothing is known to be."""
        self.tell_end: Tell = lambda _credential, _ends: None
        """Told when what is in place ends."""
        self._expiry = ExpiryWatch()

    async def watch(self, client: Callable[[], Client]) -> None:
        """Look at the files until cancelled. `client`: the one in place."""
        while True:
            self._expiry.look(self._access, self.tell_end)
            await asyncio.sleep(LOOK_SECONDS)
            await self.look(client())

    async def look(self, client: Client) -> None:
        """Once; `client` is the one in place."""
        try:
            found = temporal_access.read(self._environment)
        except SettingsError as wrong:
            self._tell(str(wrong))
            return
        if found == self._access:
            self._tell(found.flaw)
            return
        if found.namespace != self._access.namespace:
            self._tell("the namespace in Temporal's profile has changed: that takes a restart")
            return
        if found.connects_as(self._access):
            client.rpc_metadata = found.headers
            client.api_key = found.api_key
        elif (made := await self._reached(found)) is not None:
            self._replace(made)
            LOG.info("Temporal is reached with other certificates from now on")
        else:
            return
        if found.api_key != self._access.api_key:
            LOG.info("Temporal's API key was %s", "replaced" if found.api_key else "taken away")
        self._access = found
        self._tell(found.flaw)
        self.changed()

    async def _reached(self, access: Access) -> Client | None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect(access)
        except (RuntimeError, TimeoutError) as failed:
            why = access.flaw or refusal(failed)
            if why is not None:  # else Temporal may only be away, which is no fault of the files
                self._tell(f"the newest certificate or address for Temporal is not used: {why}")
            return None

    async def connect_again(self) -> None:
        """See why a connection that was let in before is so no more. Raises RuntimeError, with the reason."""
        if self._access.tls:
            await self._connect(self._access)

    def _tell(self, problem: str | None) -> None:
        self.problem = problem
        if problem is not None and problem != self._told:
            LOG.warning("%s", problem)
        self._told = problem
