"""How payloads are encrypted, as every program that talks to Temporal is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverter

from order_codec.converter import ScopedConverter
from order_codec.failures import EncryptedFailures
from order_codec.key_ring import KeyRing
from order_codec.payload_codec import EncryptingCodec
from order_process.settings import Flag, ProgramSettings


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if not all(name.strip() and key_id.strip() for name, _, key_id in pairs):
        raise ValueError("write <namespace>=<key id>, with commas")
    return {name.strip(): key_id.strip() for name, _, key_id in pairs}


class EncryptionSettings(ProgramSettings):
    """Without a file nothing is encrypted, and nothing encrypted can be read."""

    model_config = SettingsConfigDict(env_prefix="ORDER_ENCRYPTION_")
    title = "Encryption of what Temporal keeps"

    keys_file: Path | None = Field(
        None,
        description="File with lines of <key id>: <base64 of 32 bytes>, first the key that is written with. Read again "
        "when it has changed.",
    )
    write: Flag = Field(
        False,
        description="Whether new payloads are encrypted. Set it once every program that reads them has the keys.",
    )
    namespaces: Annotated[dict[str, str], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description="Keys of single Kubernetes namespaces, as <namespace>=<key id> with commas; all others are written "
        "with the first key of the file.",
        json_schema_extra={"default": ""},
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.keys_file is None and (self.write or self.namespaces):
            raise ValueError("ORDER_ENCRYPTION_WRITE and ORDER_ENCRYPTION_NAMESPACES need ORDER_ENCRYPTION_KEYS_FILE")
        return self

    def ring(self) -> KeyRing:
        """Empty without a file. Raises SettingsError."""
        return KeyRing(self.keys_file, self.namespaces)


def data_converter(environment: Mapping[str, str], *, leave_refused: bool = False) -> DataConverter:
    """How a program converts its values for Temporal; `leave_refused` as in EncryptingCodec. Raises SettingsError."""
    settings = EncryptionSettings.from_environment(environment)
    codec = EncryptingCodec(settings.ring(), write=settings.write, leave_refused=leave_refused)
    return ScopedConverter(
        payload_converter_class=pydantic_data_converter.payload_converter_class,
        payload_codec=codec,
        # Messages and stack traces of failures are encrypted too: they may quote what was ordered.
        failure_converter_class=EncryptedFailures if settings.write else DefaultFailureConverter,
    )
