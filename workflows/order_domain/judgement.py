"""Judging a value, apart from decoding it.

What decodes is wider than what judges: a model reads all that any release accepted, so that recorded histories, older
workers and newer operators agree about an order whatever rule is added later. Bounds and rules of content are held by
the schema, by the operator before an order starts, where a message is accepted and in the step Validate. All of these
call `judge` or `flaws`; decoding in a workflow never does.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic import model_validator as _model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

M = TypeVar("M", bound=BaseModel)

_JUDGING = "judging"
_MOST = 5
"""More errors than this help nobody; the rest shows when these are mended."""


def judge(model: type[M], data: Any) -> M:
    """`data`, as JSON or by Python names, as a `model` that keeps every rule. Raises pydantic.ValidationError."""
    return model.model_validate(data, context=_JUDGING)


def flaws(value: BaseModel, *, under: str = "spec") -> list[str]:
    """What is wrong with a decoded value, each as `spec.lines.0.quantity: why`; empty if nothing is."""
    try:
        judge(type(value), value.model_dump(mode="json"))
    except ValidationError as invalid:
        return field_errors(invalid, under=under)
    return []


def field_errors(invalid: ValidationError, *, under: str = "") -> list[str]:
    """What pydantic found wrong, each with the path of the field below `under`; the first few of many."""
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)[:_MOST]
    paths = (".".join(map(str, ((under,) if under else ()) + error["loc"])) for error in errors)
    told = (error["msg"].removeprefix("Value error, ") for error in errors)
    return [f"{path or 'spec'}: {why}" for path, why in zip(paths, told, strict=True)]


class Judged:
    """Metadata of a type: pydantic constraints that hold where a value is judged. The JSON schema shows them."""

    def __init__(self, *constraints: Any) -> None:
        self._constraints = constraints

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        decoded = handler(source)
        judged = handler.generate_schema(Annotated[source, *self._constraints])
        return core_schema.chain_schema(
            [decoded, core_schema.with_info_wrap_validator_function(_if_judging, judged)], serialization=None
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        judged: CoreSchema = schema["steps"][-1]["schema"]
        shown = handler(judged)
        forms = [each.name for each in self._constraints if isinstance(each, Form)]
        return {**shown, "format": forms[-1]} if forms else shown


class Form:
    """Constraint of a string for `Judged`, by name: `check` returns the string or raises ValueError. The JSON schema
    shows the name as `format`; how the API server holds it, `order_operator.crd.text_rules` says."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self._check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


def _if_judging(value: Any, judged: Callable[[Any], Any], info: ValidationInfo) -> Any:
    return judged(value) if info.context is _JUDGING else value


def rule(check: Callable[[M], None]) -> Any:
    """Makes a method of a model a rule about its fields together, held where the model is judged. It raises ValueError
    with the name of the field in front."""

    def validate(value: M, info: ValidationInfo) -> M:
        if info.context is _JUDGING:
            check(value)
        return value

    return _model_validator(mode="after")(validate)
