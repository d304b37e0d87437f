"""Arguments are read without pydantic, which typer 0.29 has look at each: importing it takes longer than all else that
a reading command does, and it is the one dependency that is not of Python alone, and missing where the program is one
file. This reaches into typer, which is why pyproject.toml allows no other minor."""

from enum import Enum
from typing import Any

import typer
from typer._coercion import RuntimeParam

_TEXTS = (bool, str, str | None, list[str], list[str] | None)
_NUMBERS: dict[object, type[int] | type[float]] = {int: int, int | None: int, float: float, float | None: float}


class AsGiven(RuntimeParam):
    """One text or switch, or several texts."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - as typer calls it
        return list(value) if isinstance(value, tuple) else value


class AsNumber(RuntimeParam):
    """One number, in its bounds."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        kind, least, most = _NUMBERS[self.annotation], self.parameter_info.min, self.parameter_info.max
        try:
            number = kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise typer.BadParameter(f"{value!r} is not {what}", ctx=ctx, param=param) from None
        if (least is not None and number < least) or (most is not None and number > most):
            raise typer.BadParameter(f"{number} is not from {least} to {most}", ctx=ctx, param=param)
        return number


class AsWord(RuntimeParam):
    """One word of a list."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        words: type[Enum] = self.annotation
        try:
            return words(value)
        except ValueError:
            known = ", ".join(str(each.value) for each in words)
            raise typer.BadParameter(f"{value!r} is none of {known}", ctx=ctx, param=param) from None


def take_texts_as_given(command: Any) -> None:
    """Of this command and those below it."""
    for each in [command, *getattr(command, "commands", {}).values()]:
        for parameter in each.get_params(typer.Context(each)):  # with --help
            described = getattr(parameter, "type_descriptor", None)
            if described is None:
                continue
            kind = _kind(described.annotation)
            if kind is not None:
                parameter._runtime_param = kind(described.parameter_info, described.annotation)


def _kind(annotation: object) -> type[RuntimeParam] | None:
    if annotation in _TEXTS:
        return AsGiven
    if annotation in _NUMBERS:
        return AsNumber
    return AsWord if isinstance(annotation, type) and issubclass(annotation, Enum) else None
