"""Settings are read from variables, refused by their names, and shown in the reference as they are."""

from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from order_process.settings import (
    Address,
    Flag,
    Listen,
    ProgramSettings,
    SettingsError,
    Unrepeated,
    UnrepeatedIfAny,
    Variable,
    at_least,
    variables,
)


def _never(_: object) -> object:
    raise ValueError("write another")


class Settings(ProgramSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")

    listen: Listen = Field(Address("::1", 80), description="Where.")
    brave: Flag = Field(False, description="Whether.")
    hands: Annotated[int, at_least(2)] = Field(2, description="How many.")
    secret: Annotated[Unrepeated, BeforeValidator(_never)] = Field("", description="What nobody says.")
    password: UnrepeatedIfAny = Field(None, description="What nobody says either.")


class Needy(ProgramSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")

    name: str = Field(description="Whose.")


def test_no_variable_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_BRAVE", "true")

    assert Settings.from_environment({}) == Settings() == Settings(brave=False)


def test_an_empty_variable_is_none_except_where_it_switches_off() -> None:
    settings = Settings.from_environment({"SHOP_LISTEN": "", "SHOP_BRAVE": "", "SHOP_HANDS": ""})

    assert settings == Settings(listen=None)


@pytest.mark.parametrize(("text", "value"), [("true", True), (" False ", False), ("TRUE", True)])
def test_yes_and_no_are_true_and_false(text: str, value: bool) -> None:
    assert Settings.from_environment({"SHOP_BRAVE": text}).brave is value


@pytest.mark.parametrize(
    ("variable", "value", "what_to_do"),
    [
        ("SHOP_BRAVE", "yes", "write true or false"),
        ("SHOP_BRAVE", "1", "write true or false"),
        ("SHOP_HANDS", "1", "write a whole number of at least 2"),
        ("SHOP_HANDS", "two", "write a whole number of at least 2"),
        ("SHOP_LISTEN", "80", "write <host>:<port>, or nothing to switch it off"),
        ("SHOP_LISTEN", "host:0", "write <host>:<port>, or nothing to switch it off"),
        ("SHOP_LISTEN", "host:65536", "write <host>:<port>, or nothing to switch it off"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_what_to_do(variable: str, value: str, what_to_do: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({variable: value})
    assert str(refused.value) == f"{variable} is '{value}': {what_to_do}"


def test_a_secret_is_repeated_by_nothing() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"SHOP_SECRET": "hunter2"})
    assert str(refused.value) == "SHOP_SECRET: write another"
    assert refused.value.__suppress_context__
    assert "hunter2" not in repr(Settings.from_environment({"SHOP_PASSWORD": "hunter2"}))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^SHOP_NAME must be set$"):
        Needy.from_environment({})


def test_the_reference_has_the_defaults_as_one_writes_them() -> None:
    listen, brave, *_ = variables(Settings)

    assert listen == Variable(("SHOP_LISTEN",), "Where.", "[::1]:80")
    assert brave == Variable(("SHOP_BRAVE",), "Whether.", "false")
