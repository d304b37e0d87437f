"""The base of every model that crosses a process boundary."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def camel_case(name: str) -> str:
    """`unit_price_minor` -> `unitPriceMinor`; a trailing `_id` becomes `ID`, as Kubernetes' own APIs write it."""
    camel = to_camel(name)
    return f"{camel[:-2]}ID" if name.endswith("_id") else camel


class Value(BaseModel):
    """Immutable, camelCase on the wire, tolerant of fields that a newer version added.

    Attribute docstrings become the schema's descriptions and so the text of `kubectl explain`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=camel_case,
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
    )
