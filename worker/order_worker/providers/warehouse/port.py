"""What the platform asks of a warehouse that picks and packs."""

from abc import ABC, abstractmethod
from collections.abc import Collection


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
    async def unpack(self, key: str, keep: Collection[str] = ()) -> None:
        """Put back what is packed under this key, each line at most once, save for the lines `keep`: their parcels are
        not back, or sold. A later call may keep fewer. Nothing will be packed under the key any more, not even if the
        warehouse has not seen it before."""
