"""An order's audit trail, read from the ledger. Imported when the first is asked for: the database's library is a third
of the console's memory, and most consoles never show a trail."""

from collections.abc import Sequence
from dataclasses import dataclass

from order_domain.errors import LedgerUnavailable
from order_worker.ledger import story
from order_worker.ledger.schema import SchemaMismatch
from order_worker.ledger.snapshot import snapshot
from order_worker.ledger.story import Entry
from order_worker.ledger.verification import Verification


class Unreadable(Exception):
    """The ledger does not answer, or is another release's. The message is for the person."""


@dataclass(frozen=True)
class Trail:
    """Of one order. `flaws`: sentences, empty where it is intact; None where it was not checked."""

    entries: Sequence[Entry]
    flaws: Sequence[str] | None = None

    @property
    def sealed(self) -> bool:
        """Whether its seals are made with a key, which the console has not got."""
        return any(entry.key_id is not None for entry in self.entries)


def read(url: str, namespace: str, name: str, *, verify: bool = False) -> Trail:
    """What happened, in order. Raises Unreadable."""
    try:
        with snapshot(url) as tx:
            trail = Trail(list(story.tell(tx, namespace, name)))
            if not verify or trail.sealed:
                return trail
            return Trail(trail.entries, [flaw.what for flaw in Verification().flaws_of(tx, namespace, name)])
    except (LedgerUnavailable, SchemaMismatch) as error:
        raise Unreadable(str(error)) from error
