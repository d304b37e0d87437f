"""Arguments that are texts or switches are taken as they are given. typer 0.29 has pydantic look at each, and importing
that takes longer than all else that a reading command does. This reaches into typer, which is why pyproject.toml allows
no other minor. Without it everything works, and answers come a tenth of a second later."""

from typing import Any

import typer
from typer._coercion import RuntimeParam

_PLAIN = (bool, str, str | None, list[str], list[str] | None)


class AsGiven(RuntimeParam):
    """One text or switch, or several texts."""

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - as typer calls it
        return list(value) if isinstance(value, tuple) else value


def take_texts_as_given(command: Any) -> None:
    """Of this command and those below it."""
    for each in [command, *getattr(command, "commands", {}).values()]:
        for parameter in each.get_params(typer.Context(each)):  # with --help
            described = getattr(parameter, "type_descriptor", None)
            if described is not None and described.annotation in _PLAIN:
                parameter._runtime_param = AsGiven(described.parameter_info, described.annotation)
