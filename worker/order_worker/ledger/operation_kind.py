"""The kinds of operations. Each is stored with its operation and in the audit trail, and never changes."""

from enum import StrEnum


class OperationKind(StrEnum):
    """What an operation does. Those that `order_workflows` undoes after a termination are its `EffectKind` as well."""

    RECEIVE = "receive"
    CHANGE_LINES = "change_lines"
    UPDATE_STATUS = "update_status"
    CLOSE = "close"
    HALT = "halt"
    SELL_LINES = "sell_lines"
    NOTE = "note"
    CHECK_FRAUD = "check_fraud"
    RESERVE = "reserve"
    RELEASE = "release"
    COMMIT = "commit"
    PACK = "pack"
    UNPACK = "unpack"
    CHARGE = "charge"
    REFUND = "refund"
    SHIP = "ship"
    CANCEL_SHIPMENT = "cancel_shipment"
    NOTIFY = "notify"
    PREVENTED = "prevented"
    """The tombstone of an operation that was undone before it began. Its own kind is not known then."""

    @property
    def refusals_stand(self) -> bool:
        """Whether a refused operation of this kind is refused for other parameters too. A parcel that the carrier did
        not take is tried again under another id; a run that was reset comes by the first one, with the address of
        today."""
        return self is OperationKind.SHIP

    @property
    def may_be_reworded(self) -> bool:
        """Whether an operation of this kind stays the same one with other parameters. A customer is told once; a run
        that was reset, or that takes over, may have other words for it than the one that opened the operation."""
        return self is OperationKind.NOTIFY

    @property
    def may_begin_after_halt(self) -> bool:
        """Whether an operation of this kind may begin although its order is halted or has ended: a mail is never
        undone."""
        return self is OperationKind.NOTIFY
