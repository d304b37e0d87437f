"""What the provider stripe is told from outside. Apart from it, since its library takes a while to import."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from order_process.settings import ProgramSettings, UnrepeatedIfAny


def _base(value: object) -> object:
    if isinstance(value, str) and not value.startswith(("https://", "http://")):
        raise ValueError("write <scheme>://<host>")
    return value


class StripeSettings(ProgramSettings):
    """Of the account that takes the money."""

    model_config = SettingsConfigDict(env_prefix="STRIPE_")
    title = "The worker's payment provider stripe"

    api_key: UnrepeatedIfAny = Field(None, description="Secret key of the account.")
    api_key_file: Path | None = Field(
        None, description="File with the key, in place of the variable. Read again for every request."
    )
    api_base: Annotated[str | None, BeforeValidator(_base)] = Field(
        None, description="<scheme>://<host> of a proxy.", json_schema_extra={"default": "Stripe itself"}
    )
