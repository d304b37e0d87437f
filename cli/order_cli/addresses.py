"""Addresses as flags give them."""

from typing import Annotated

import typer

NEEDED = ("name", "line1", "city", "country")

Recipient = Annotated[str | None, typer.Option("--recipient", help="Who receives the parcel.")]
Company = Annotated[str | None, typer.Option(help="Company of the recipient.")]
Line1 = Annotated[str | None, typer.Option("--line1", help="Street and house number.")]
Line2 = Annotated[str | None, typer.Option("--line2", help="Flat, floor.")]
City = Annotated[str | None, typer.Option(help="Town.")]
State = Annotated[str | None, typer.Option(help="State, province or region.")]
PostalCode = Annotated[str | None, typer.Option("--postal-code", help="Postal code.")]
Country = Annotated[str | None, typer.Option(help="Two letters: US, GB.")]
Phone = Annotated[str | None, typer.Option(help="Where the carrier can reach the recipient.")]


def given(**fields: str | None) -> dict[str, str | None]:
    """The fields of the address that flags name; an empty text takes a field away."""
    return {name: value or None for name, value in fields.items() if value is not None}
