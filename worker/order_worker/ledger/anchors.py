"""Anchors: the ends of the audit chains, written where the ledger's user cannot write.

Whoever has the database and the key can write another chain. An anchor outside knows the end that the chain had; each
anchor names the digest of the one before, and the ledger numbers them, so that a missing one is missed as well.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from sqlalchemy import Connection, func, insert, select

from order_worker.ledger.audit_keys import KeyRing
from order_worker.ledger.tables import audit_anchors, orders
from order_worker.ledger.verification import Flaw

KIND = "order-ledger-anchor"

OVERLAP = timedelta(hours=1)
"""Clocks of workers differ, and a transaction is dated before it commits: chains that moved so long before the last
anchor are written again."""


_LOCK = int.from_bytes(b"anchor")
"""Any number that no other program of this database takes for its advisory lock."""


class AnchorUnreadable(Exception):
    """A path that should hold anchors cannot be read."""


class Head(NamedTuple):
    """The end of one order's chain."""

    uid: str
    seq: int
    hash: str


@dataclass(frozen=True)
class Anchor:
    """One line."""

    content: dict[str, Any]

    @property
    def number(self) -> int:
        """From 1, without gaps."""
        return int(self.content["number"])

    @property
    def heads(self) -> list[Head]:
        """Of the chains that moved since the anchor before."""
        return [Head(*head) for head in self.content["heads"]]

    def digest(self) -> str:
        """What the next anchor names."""
        return hashlib.sha256(_canonical(self.content).encode()).hexdigest()

    def line(self) -> str:
        """As it is written, without the line's end."""
        return _canonical(self.content)

    def signed_text(self) -> str:
        """What the signature covers."""
        return _canonical({key: value for key, value in self.content.items() if key != "signature"})


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def write(tx: Connection, keys: KeyRing | None, out: TextIO | Path) -> Anchor:
    """The next anchor, to a stream or as a new file of a folder, and its number into the ledger. The file is on the
    disk before the number is: where the ledger does not learn of it, the next call does. One call at a time: a person's
    beside that of the schedule would replace its file."""
    if tx.dialect.name == "postgresql":  # SQLite has one writer
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = tx.execute(select(audit_anchors).order_by(audit_anchors.c.number.desc()).limit(1)).one_or_none()
    if isinstance(out, Path) and (unknown := _unrecorded(out, last)) is not None:
        _record(tx, unknown)
        return unknown
    key = None if keys is None else keys.current()
    number = 1 if last is None else last.number + 1
    since = None if last is None else last.at - OVERLAP
    content: dict[str, Any] = {
        "kind": KIND,
        "number": number,
        "at": datetime.now(UTC).isoformat(),
        "previous": None if last is None else last.digest,
        "keyID": None if key is None else key.key_id,
        **_heads(tx, since),
    }
    anchor = Anchor(content)
    if key is not None:
        content["signature"] = key.seal(anchor.signed_text())
    if isinstance(out, Path):
        _write_file(out, anchor)
    else:
        out.write(f"{anchor.line()}\n")
        out.flush()
    _record(tx, anchor)
    return anchor


def _heads(tx: Connection, since: datetime | None) -> dict[str, Any]:
    # One statement, so that all ends are of one moment.
    rows = select(orders.c.uid, orders.c.last_seq, orders.c.last_hash, orders.c.updated_at).order_by(orders.c.uid)
    count, every, moved = 0, hashlib.sha256(), []
    for row in tx.execute(rows.execution_options(yield_per=1000)):
        count += 1
        every.update(f"{row.uid} {row.last_seq} {row.last_hash}\n".encode())
        if since is None or row.updated_at >= since:
            moved.append([row.uid, row.last_seq, row.last_hash])
    return {"orders": count, "digest": every.hexdigest(), "heads": moved}


def _record(tx: Connection, anchor: Anchor) -> None:
    row = {
        "number": anchor.number,
        "at": datetime.fromisoformat(anchor.content["at"]),
        "digest": anchor.digest(),
    }
    tx.execute(insert(audit_anchors), row)


def _file(folder: Path, number: int) -> Path:
    return folder / f"anchor-{number:08}.jsonl"


def _unrecorded(folder: Path, last: Any | None) -> Anchor | None:
    """What an earlier call wrote and could not record."""
    path = _file(folder, 1 if last is None else last.number + 1)
    if not path.exists():
        return None
    found = list(_lines(path))
    if len(found) != 1 or found[0].content["previous"] != (None if last is None else last.digest):
        raise AnchorUnreadable(f"{path} is there already and does not follow the ledger's last anchor")
    return found[0]


def _write_file(folder: Path, anchor: Anchor) -> None:
    """Complete or not there: written under another name first."""
    path = _file(folder, anchor.number)
    draft = path.with_suffix(".part")
    with draft.open("w") as file:
        file.write(f"{anchor.line()}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def read(paths: Iterable[Path]) -> list[Anchor]:
    """All anchors of these files and folders. Other lines are passed over: the lines of a container's log are mixed.
    Raises AnchorUnreadable."""
    found: list[Anchor] = []
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            found.extend(_lines(file))
    return found


def _lines(path: Path) -> Iterator[Anchor]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AnchorUnreadable(f"{path} cannot be read: {error}") from error
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and content.get("kind") == KIND:
            anchor = Anchor(content)
            try:
                _ = anchor.number, anchor.heads, content["previous"], content["at"]
            except (KeyError, TypeError, ValueError) as error:
                raise AnchorUnreadable(f"{path} has an anchor without {error}") from error
            yield anchor


def heads(anchors: Sequence[Anchor]) -> dict[str, Head]:
    """By uid, the furthest end that any anchor knows: its seal stands for all events before it."""
    furthest: dict[str, Head] = {}
    for anchor in anchors:
        for head in anchor.heads:
            known = furthest.get(head.uid)
            if known is None or known.seq < head.seq:
                furthest[head.uid] = head
    return furthest


def flaws(tx: Connection, anchors: Sequence[Anchor], keys: KeyRing | None) -> Iterator[Flaw]:
    """What is wrong with the anchors themselves: forged, missing, or of another ledger."""
    recorded = {row.number: row.digest for row in tx.execute(select(audit_anchors))}
    by_number: dict[int, list[Anchor]] = {}
    for anchor in sorted(anchors, key=lambda each: each.number):
        by_number.setdefault(anchor.number, []).append(anchor)
        yield from _signature(anchor, keys)
    first, last = min(by_number, default=1), max([*by_number, *recorded], default=0)
    for number in range(first, last + 1):
        here = by_number.get(number)
        subject = f"anchor {number}"
        if here is None:
            yield Flaw(subject, "it is missing")
            continue
        digests = {anchor.digest() for anchor in here}
        if number not in recorded:
            yield Flaw(subject, "the ledger never wrote it: the ledger is older than its anchors")
        elif recorded[number] not in digests:
            yield Flaw(subject, "it is not the one that the ledger wrote")
        before = {anchor.digest() for anchor in by_number.get(number - 1, [])}
        if before and not any(anchor.content["previous"] in before for anchor in here):
            yield Flaw(subject, f"it does not follow anchor {number - 1}")
    yield from _contradictions(anchors)


def _signature(anchor: Anchor, keys: KeyRing | None) -> Iterator[Flaw]:
    key_id, subject = anchor.content.get("keyID"), f"anchor {anchor.number}"
    if key_id is None:
        return
    key = None if keys is None else keys.find(key_id)
    if key is None:
        yield Flaw(subject, f"it is signed with key {key_id}, which the ring does not have")
    elif key.seal(anchor.signed_text()) != anchor.content.get("signature"):
        yield Flaw(subject, "its signature is wrong")


def _contradictions(anchors: Sequence[Anchor]) -> Iterator[Flaw]:
    known: dict[tuple[str, int], str] = {}
    for anchor in sorted(anchors, key=lambda each: each.number):
        for head in anchor.heads:
            if known.setdefault((head.uid, head.seq), head.hash) != head.hash:
                yield Flaw(f"order {head.uid}", f"anchor {anchor.number} and an earlier one differ at event {head.seq}")
