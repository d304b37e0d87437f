"""What people did about an order, on its way into the audit trail: notes ride in requests that are made anyway."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

from order_domain.audit_note import AuditNote, NoteKind


class Notes:
    """Those that the ledger may not have yet."""

    def __init__(self, uid: str, pending: Sequence[AuditNote]) -> None:
        self._uid = uid
        self._pending = list(pending)

    @property
    def pending(self) -> list[AuditNote]:
        """To be sent with the next request to the ledger."""
        return list(self._pending)

    def add(self, kind: NoteKind, at: datetime, **about: object) -> None:
        """`about` are further fields of the note. The same act at the same time is the same note, also in a run that
        goes through the history again."""
        note = AuditNote.model_validate({"note_id": "", "kind": kind, "at": at, **about})
        # Fields that notes of earlier releases did not have do not change the id of one that has none of them.
        left_out = {name for name in ("editor", "proof") if getattr(note, name) is None}
        key = hashlib.sha256(note.model_dump_json(exclude=left_out).encode()).hexdigest()[:12]
        self._pending.append(note.model_copy(update={"note_id": f"{self._uid}/note/{key}"}))
        workflow.logger.info("%s", kind.value, extra={"generation": note.generation, "channel": note.channel})

    def recorded(self, notes: Sequence[AuditNote]) -> None:
        """The ledger has these."""
        self._pending = [note for note in self._pending if note not in notes]
