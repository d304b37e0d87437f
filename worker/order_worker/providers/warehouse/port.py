"""What the platform asks of a warehouse that picks and packs."""

from abc import ABC, abstractmethod


class Warehouse(ABC):
    """Every method may raise ProviderUnavailable: what it did is unknown then, and the same call may be repeated.

    A key names one packing job of any number of lines. It is open until it is unpacked, and void for ever after.
    """

    @abstractmethod
    async def pack(self, key: str, *, line_id: str, sku: str, quantity: int) -> None:
        """Pick and pack one line, at most once per `key` and `line_id`.

        Raises OperationConflict (the line is packed under this key with other parameters) or OperationCancelled
        (`unpack` came first, or has taken the job apart).
        """

    @abstractmethod
    async def unpack(self, key: str) -> None:
        """Put back whatever is packed under this key, each line at most once. Nothing will be packed under it then,
        not even if the warehouse has not seen the key before."""
