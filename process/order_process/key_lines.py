"""Secret keys in a text: lines of `<key id>: <base64>`. Empty lines and comments with `#` count for nothing."""

import base64
import binascii
import re
from pathlib import Path

from order_process.settings import SettingsError

_LINE = re.compile(r"(?P<id>[A-Za-z0-9][A-Za-z0-9._-]{0,62}):\s*(?P<key>[A-Za-z0-9+/=]+)")


def parse(name: str, text: str, *, least_bytes: int, most_bytes: int | None = None) -> dict[str, bytes]:
    """The keys by their ids, in the order of the lines; `name` is what messages call the text. Raises SettingsError."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise SettingsError(f"{name}: line {number} is not <key id>: <base64>")
        try:
            secret = base64.b64decode(match["key"], validate=True)
        except binascii.Error:
            raise SettingsError(f"{name}: the key of line {number} is not base64") from None
        if len(secret) < least_bytes:
            raise SettingsError(f"{name}: the key of line {number} has {len(secret)} bytes, fewer than {least_bytes}")
        if most_bytes is not None and len(secret) > most_bytes:
            raise SettingsError(f"{name}: the key of line {number} has {len(secret)} bytes, more than {most_bytes}")
        if match["id"] in keys:
            raise SettingsError(f"{name}: two keys are named {match['id']}")
        keys[match["id"]] = secret
    if not keys:
        raise SettingsError(f"{name} holds no key")
    return keys


def stamp(file: Path | None) -> tuple[int, int, int] | None:
    """Changes with the file; None where there is none, or it is away."""
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
