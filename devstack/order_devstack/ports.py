"""Loopback ports of a stack, remembered so that a process that comes back is found where it was."""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

HOST = "127.0.0.1"
# Below the range that kernels hand out for outgoing connections (from 32768 on Linux): a connection of somebody
# else cannot sit on the port of a process that is down for a moment.
_CANDIDATES = range(20000, 30000)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections of a former holder that still time out do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def choose(names: Iterable[str], *, keep: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the one in `keep`, else a free one that no other name has."""
    chosen = dict(keep)
    candidates = iter(secrets.SystemRandom().sample(_CANDIDATES, k=len(_CANDIDATES)))
    for name in names:
        if name not in chosen:
            chosen[name] = next(port for port in candidates if port not in chosen.values() and is_free(port))
    return chosen


def load(file: Path) -> dict[str, int]:
    """The ports in `file`; none if there is no such file."""
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}


def save(file: Path, ports: Mapping[str, int]) -> None:
    """Replace `file` in one step: a reader, or a command after a crash, never sees half of it."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(ports, indent=2) + "\n")
    unfinished.replace(file)
