"""What the codec server is told from outside."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from order_process.settings import Address, Listen, ProgramSettings


class IdentityMode(StrEnum):
    """How callers are known."""

    KUBERNETES = "kubernetes"
    """By a bearer token of the cluster."""
    NONE = "none"
    """Not at all."""


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    origins = tuple(each.strip().rstrip("/") for each in value.split(",") if each.strip())
    if not all(each.startswith(("https://", "http://")) and "*" not in each for each in origins):
        raise ValueError("write whole origins such as https://temporal.example.com, with commas")
    return origins


class ServerSettings(ProgramSettings):
    """Everything but the keys."""

    model_config = SettingsConfigDict(env_prefix="ORDER_CODEC_")
    title = "The codec server"

    listen: Listen = Field(Address("0.0.0.0", 8086), description="Where it serves /decode and /encode.")  # noqa: S104
    probes: Listen = Field(
        Address("0.0.0.0", 8087),  # noqa: S104
        description="Where /livez and /readyz are served; empty: nowhere.",
    )
    origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] = Field(
        (),
        description="Origins of Temporal's Web UI whose pages may ask, with commas. Others are refused.",
        json_schema_extra={"default": "none"},
    )
    identity: IdentityMode = Field(
        IdentityMode.KUBERNETES,
        description="How callers are known: kubernetes, by a bearer token of the cluster; none, for the machine of one "
        "person, with a loopback address alone.",
    )
    api_server: str = Field(
        "https://kubernetes.default.svc",
        pattern=r"^https?://\S+$",
        description="Address of the Kubernetes API server.",
    )
    api_server_ca_file: Path | None = Field(None, description="File of its certificate authority.")
    tls_certificate_file: Path | None = Field(
        None,
        description="Certificate by which it serves HTTPS. Without one it serves HTTP, for a proxy in front of it.",
    )
    tls_key_file: Path | None = Field(None, description="Key of that certificate.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("ORDER_CODEC_TLS_CERTIFICATE_FILE and ORDER_CODEC_TLS_KEY_FILE belong together")
        if (
            self.identity is IdentityMode.NONE
            and self.listen
            and self.listen.host not in ("127.0.0.1", "localhost", "::1")
        ):
            raise ValueError(
                "ORDER_CODEC_LISTEN must be a loopback address while ORDER_CODEC_IDENTITY is none: everybody who "
                "reaches the server could decode every payload"
            )
        return self
