"""The console's settings, read once from the environment."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from order_process.secret_file import text_of
from order_process.settings import Address, Listen, ProgramSettings, Unrepeated, UnrepeatedIfAny

LEDGER_URL_FILE = "ORDER_CONSOLE_LEDGER_URL_FILE"


class IdentityMode(StrEnum):
    """Whose rights a request has."""

    KUBECONFIG = "kubeconfig"
    """Those of the kubeconfig that the console was started with: one person, on this machine."""
    TOKEN = "token"  # noqa: S105 - no secret
    """Those of the bearer token that a proxy sends along, or that the person gave at /login."""
    PROXY = "proxy"
    """Those of the user that a trusted proxy names; the console impersonates them."""
    ANONYMOUS = "anonymous"
    """The console's own, for reading alone: everybody who reaches it sees the orders."""


class Settings(ProgramSettings):
    """What the console can be told from outside."""

    model_config = SettingsConfigDict(env_prefix="ORDER_CONSOLE_", str_strip_whitespace=True)
    title = "The console"

    listen: Listen = Field(Address("127.0.0.1", 8088), description="Where the page is served.")
    identity: IdentityMode = Field(
        IdentityMode.KUBECONFIG,
        description="Whose rights a request has: `kubeconfig` those of the kubeconfig, for one person on this machine; "
        "`token` those of the bearer token that a proxy sends or that is given at /login; `proxy` those of the user "
        "that a trusted proxy names; `anonymous` the console's own, for reading alone: everybody who reaches the page "
        "sees the orders.",
    )
    context: str = Field("", description="Context of the kubeconfig; empty: the current one.")
    namespaces: str = Field(
        "",
        description="Namespaces to show, with commas, where the orders of all may not be read.",
        json_schema_extra={"default": "that of the context"},
    )
    hosts: str = Field(
        "",
        description="Names by which browsers reach the console, with commas; a request for another one is refused.",
        json_schema_extra={"default": "the loopback names"},
    )
    session_key: UnrepeatedIfAny = Field(
        None,
        description="Secret that sessions are sealed with, at least 32 characters. Several replicas need the same one.",
        json_schema_extra={"default": "a random one"},
        min_length=32,
    )
    proxy_secret: Unrepeated = Field(
        "", description="What the trusted proxy sends in the header X-Order-Console-Proof. Needed with `proxy`."
    )
    proxy_groups: str = Field(
        "",
        description="Groups that count of those that the trusted proxy names, with commas.",
        json_schema_extra={"default": "all"},
    )
    ledger_url: UnrepeatedIfAny = Field(
        None,
        validation_alias="ORDER_CONSOLE_LEDGER_URL",
        description="The ledger, for the audit trail; a database user with SELECT only. Without it the console "
        "shows none.",
    )
    ledger_url_file: Path | None = Field(
        None,
        validation_alias=LEDGER_URL_FILE,
        description="File with that URL, in place of the variable. Read again for every trail, so that another "
        "password counts without a restart.",
    )

    @property
    def ledger_url_now(self) -> Callable[[], str] | None:
        """Gives the URL as it is at the moment; None where there is no ledger. What it gives raises ValueError."""
        if self.ledger_url_file is not None:
            return partial(text_of, LEDGER_URL_FILE, self.ledger_url_file)
        url = self.ledger_url
        return None if url is None else lambda: url

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.identity is IdentityMode.PROXY and not self.proxy_secret:
            raise ValueError("ORDER_CONSOLE_PROXY_SECRET must be set, or anybody could name themselves by a header")
        if self.ledger_url_file is not None:
            if self.ledger_url is not None:
                raise ValueError(f"ORDER_CONSOLE_LEDGER_URL and {LEDGER_URL_FILE} are both set: keep one of them")
            text_of(LEDGER_URL_FILE, self.ledger_url_file)
        return self
