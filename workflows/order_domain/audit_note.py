"""What people and policies do about an order, as its audit trail has it."""

from datetime import datetime
from enum import StrEnum

from order_domain.order import Proof
from order_domain.snapshot import ShortText
from order_domain.value import Value


class NoteKind(StrEnum):
    """What a person or a policy did about an order."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    ADDRESS_CHANGED = "address_changed"
    LINES_CHANGED = "lines_changed"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RETRIED = "retried"
    ADOPTED = "adopted"


class AuditNote(Value):
    """One act of a person or a policy, for the audit trail."""

    note_id: str
    """An operation id of its own, `<uid>/note/<n>`: the note is recorded once."""
    kind: NoteKind
    by: ShortText | None = None
    """Who did it."""
    requester: ShortText | None = None
    """Who had ordered."""
    editor: ShortText | None = None
    """Who had edited the order last."""
    proof: Proof | None = None
    """How far the name `by` is proven."""
    channel: ShortText | None = None
    """How it came: `kubernetes`, `temporal`, `signal` or `policy`."""
    reason: ShortText | None = None
    generation: int | None = None
    """metadata.generation that the person saw."""
    total_minor: int | None = None
    """The amount that it was about."""
    currency: ShortText | None = None
    digest: ShortText | None = None
    """Of the lines and charges, or of the address, that it was about."""
    owner_uid: ShortText | None = None
    """Uid of the resource that adopted the order."""
    owner_cluster: ShortText | None = None
    """Identity of the installation that has that resource."""
    at: datetime
    """Workflow time."""
