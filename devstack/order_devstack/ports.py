"""Loopback ports of a stack, remembered so that a process that comes back is found where it was."""

import json
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

HOST = "127.0.0.1"
# Below the range that kernels hand out for outgoing connections (from 32768 on Linux): a connection of somebody
# else cannot sit on the port of a process that is down for a moment.
_CANDIDATES = range(20000, 30000)
_reserved: dict[int, int] = {}
"""What this process chose, and the file descriptor by which it keeps it from others: several processes choose at the
same time, and their servers start one after the other."""


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
    """A port for each name: the one in `keep`, else a free one that no other name has. No other process chooses one of
    them until this one ends or gives it back."""
    chosen = dict(keep)
    for port in chosen.values():
        _reserve(port)
    candidates = iter(secrets.SystemRandom().sample(_CANDIDATES, k=len(_CANDIDATES)))
    for name in names:
        if name not in chosen:
            chosen[name] = next(port for port in candidates if _reserve(port))
    return chosen


def give_back(chosen: Iterable[int]) -> None:
    """Others may choose these again."""
    for port in chosen:
        if port in _reserved:
            os.close(_reserved.pop(port))


def _reserve(port: int) -> bool:
    """Whether nobody has it. A server that starts much later finds it free: what is bound and does not listen is in the
    way of no server, but of everybody who asks for the port alone."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe.bind((HOST, port))
    except OSError:
        probe.close()
        return False
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _reserved[port] = probe.detach()
    return True


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
