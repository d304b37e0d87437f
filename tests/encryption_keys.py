"""Key rings of payloads, for tests."""

import base64
import hashlib
from pathlib import Path


def key_lines(*key_ids: str) -> str:
    """The text of a ring: the same id has the same key in every test."""
    return "".join(f"{each}: {base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}\n" for each in key_ids)


def ring_file(folder: Path, *key_ids: str) -> Path:
    """A file with these keys, put there as the kubelet does it: by a rename."""
    file = folder / "encryption-keys"
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(key_lines(*key_ids))
    unfinished.replace(file)
    return file
