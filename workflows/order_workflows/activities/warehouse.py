"""Picking and packing, as the workflow wants it."""

from abc import ABC, abstractmethod

from pydantic import Field
from temporalio import activity

from order_domain.order import OrderLine
from order_workflows.activities.effect import Effect, Outcome


class PackLines(Effect):
    """Pick and pack the units of these lines."""

    lines: list[OrderLine]
    lines_digest: str | None = None
    """Of the order's lines and charges, as the workflow knows them."""


class UnpackLines(Effect):
    """Take packed lines apart again; `operation_id` is that of the unpacking."""

    pack_operation_id: str
    """The packing to undo. One that never happened, or only in part, is fine."""
    kept_lines: list[str] = Field(default_factory=list)
    """Line ids that stay packed, since their parcels are not back. A later unpacking, under another operation id, may
    keep fewer."""


class WarehouseActivities(ABC):
    """Picking and packing."""

    @activity.defn(name="pack_lines")
    @abstractmethod
    async def pack(self, request: PackLines) -> Outcome:
        """Heartbeats after each line; a later attempt goes on with the line after the last one recorded. Raises
        ProviderUnavailable."""

    @activity.defn(name="unpack_lines")
    @abstractmethod
    async def unpack(self, request: UnpackLines) -> Outcome:
        """Twice unpacks once."""
