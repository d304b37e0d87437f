"""What the provider smtp is told from outside."""

from email.errors import MessageError
from email.headerregistry import Address
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from order_process.settings import ProgramSettings, UnrepeatedIfAny


class Security(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"
    """Refused if the server does not offer it."""
    TLS = "tls"
    NONE = "none"


DEFAULT_PORT = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}
"""Sources: RFC 6409, RFC 8314, RFC 5321."""


def _security(value: object) -> object:
    if isinstance(value, str) and value not in set(Security):
        raise ValueError(f"write one of {', '.join(Security)}")
    return value


def _port(value: object) -> object:
    if isinstance(value, str) and not (value.isdecimal() and 0 < int(value) < 65536):
        raise ValueError("write a port, from 1 to 65535")
    return value


def _sender(value: str) -> str:
    try:
        Address(addr_spec=value)
    except (MessageError, ValueError, IndexError):
        raise ValueError("write a mail address") from None
    return value


class SMTPSettings(ProgramSettings):
    """Of the server that mail is handed to."""

    model_config = SettingsConfigDict(env_prefix="SMTP_")
    title = "The worker's mail provider smtp"

    host: str = Field(description="Server that takes mail.", json_schema_extra={"default": "none: it must be set"})
    port: Annotated[int | None, BeforeValidator(_port)] = Field(
        None,
        description="Its port.",
        json_schema_extra={"default": "587; with tls 465, with none 25"},
    )
    security: Annotated[Security, BeforeValidator(_security)] = Field(
        Security.STARTTLS,
        description=f"How the connection is protected: {', '.join(Security)}. Certificates are checked against "
        "SSL_CERT_FILE, if that is set, or the system's authorities.",
    )
    username: str | None = Field(None, description="Empty: no authentication.")
    password: UnrepeatedIfAny = Field(None, description="Password of that user.")
    password_file: Path | None = Field(
        None, description="File with the password, in place of the variable. Read again for every mail."
    )
    sender: Annotated[str, BeforeValidator(_sender)] = Field(
        validation_alias="SMTP_FROM",
        description="Mail address of the sender.",
        json_schema_extra={"default": "none: it must be set"},
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.username is None) != (self.password is None and self.password_file is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD, or SMTP_PASSWORD_FILE, belong together")
        if self.username and self.security is Security.NONE:
            raise ValueError("SMTP_SECURITY=none would send SMTP_PASSWORD in the clear")
        return self
