"""Settings of a program: a class of fields, by pydantic-settings. Each field is one environment variable, and its
description is what `--help` and docs/settings.md say about it.

What every program spells alike lives here: addresses (`host:port`), yes and no (`true`, `false`), whole numbers. A
variable whose value cannot be used is refused with its name and what to write. The value itself is repeated unless the
field is `Unrepeated`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import AliasChoices, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class SettingsError(Exception):
    """A variable has a value that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in the environment."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Mark:
    """Something that is true of a field besides its type."""


UNREPEATED = Mark()
"""The value may hold a password: no message and no log line repeats it."""
EMPTY_COUNTS = Mark()
"""An empty value is one. Everywhere else it is the same as none, which gives the default."""


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("write <host>:<port>, or nothing to switch it off")
    return Address(host.strip("[]"), int(port))


def flag(value: object) -> object:
    """`true` or `false`, in any case of letters."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text not in ("true", "false"):
        raise ValueError("write true or false")
    return text == "true"


def at_least(least: int) -> BeforeValidator:
    """A whole number, in digits."""

    def whole(value: object) -> object:
        if isinstance(value, str) and not value.strip().isdecimal():
            raise ValueError(f"write a whole number of at least {least}")
        number = int(value) if isinstance(value, (str, int)) else value
        if isinstance(number, int) and number < least:
            raise ValueError(f"write a whole number of at least {least}")
        return number

    return BeforeValidator(whole)


Listen = Annotated[Address | None, BeforeValidator(_address), EMPTY_COUNTS]
"""`<host>:<port>`; an empty value switches the listener off."""
Flag = Annotated[bool, BeforeValidator(flag)]
Unrepeated = Annotated[str, UNREPEATED]
UnrepeatedIfAny = Annotated[str | None, UNREPEATED]


class ProgramSettings(BaseSettings):
    """Subclasses declare the fields. A field without an alias is the variable of the class's prefix and its name."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=False,
        validate_by_name=True,
        validate_by_alias=True,
        enable_decoding=False,
        hide_input_in_errors=True,
    )
    title: ClassVar[str] = ""
    """What the variables are for, as a heading of the reference."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment is read where a program starts, and by nothing that merely makes an object.
        return (init_settings,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises SettingsError."""
        given = _Given(cls, environment)()
        kept = {name: value for name, value in given.items() if value != "" or _empty_counts(cls, name)}
        try:
            return cls(**kept)
        except ValidationError as wrong:
            # Without its cause, which a traceback would show with the values.
            raise SettingsError("; ".join(_sentences(cls, wrong, environment))) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Without what must not be repeated."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is None or UNREPEATED not in field.metadata:
                yield name, value


class _Given(EnvSettingsSource):
    """The variables of a mapping."""

    def __init__(self, settings_cls: type[BaseSettings], environment: Mapping[str, str]) -> None:
        self._environment = environment
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environment.items()}


@dataclass(frozen=True)
class Variable:
    """One line of a program's reference."""

    names: tuple[str, ...]
    """The one to use, then those of earlier releases."""
    meaning: str
    default: str


def variables(settings: type[ProgramSettings]) -> Iterator[Variable]:
    """Those of a class, in the order of its fields."""
    for name, field in settings.model_fields.items():
        yield Variable(names_of(settings, name), field.description or "", _shown(field))


def names_of(settings: type[ProgramSettings], name: str) -> tuple[str, ...]:
    """The variables that a field can be set by."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    if alias is not None:
        return (str(alias),)
    return (f"{settings.model_config['env_prefix']}{name}".upper(),)


def _shown(field: FieldInfo) -> str:
    """The default, as it would be written into the environment."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default" in extra:
        return str(extra["default"])
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or field.is_required() else str(value)


def _empty_counts(settings: type[ProgramSettings], key: str) -> bool:
    return EMPTY_COUNTS in _field(settings, key)[1].metadata


def _field(settings: type[ProgramSettings], key: str) -> tuple[str, FieldInfo]:
    """By its name, or by one of its variables."""
    for name, field in settings.model_fields.items():
        if key == name or key.upper() in names_of(settings, name):
            return name, field
    raise KeyError(key)


def _sentences(
    settings: type[ProgramSettings], wrong: ValidationError, environment: Mapping[str, str]
) -> Iterator[str]:
    for error in wrong.errors(include_url=False):
        if error["type"] == "default_factory_not_called":  # it follows from another field, which is told of already
            continue
        what: Any = error.get("ctx", {}).get("error", error["msg"])
        if not error["loc"]:  # what a check of several fields says names them itself
            yield str(what)
            continue
        name, field = _field(settings, str(error["loc"][0]))
        names = names_of(settings, name)
        given = next((variable for variable in names if environment.get(variable)), names[0])
        if error["type"] == "missing":
            yield f"{given} must be set"
        elif UNREPEATED in field.metadata:
            yield f"{given}: {what}"
        else:
            yield f"{given} is {error['input']!r}: {what}"
