"""What pydantic found wrong, as one line that names the fields."""

from pydantic import ValidationError

_MOST = 5
"""More errors than this help nobody; the rest shows when these are mended."""


def field_errors(invalid: ValidationError, *, under: tuple[str, ...] = ()) -> str:
    """`spec.customer.id: Field required; …`, with `under` in front of each path; `spec` stands for the whole."""
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)[:_MOST]
    return "; ".join(f"{'.'.join(map(str, (*under, *error['loc']))) or 'spec'}: {error['msg']}" for error in errors)
