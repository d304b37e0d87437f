"""Servers that many modules share, one after the other, until the end of a session."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from order_devstack.stack import Stack

COSTLY = ("temporal_address", "servers", "platform")
"""The fixtures that give them, by what they cost a core while other tests run."""


@dataclass
class _Lasting:
    stack: Stack
    names: tuple[str, ...]
    rest: bool = False

    def run(self, *, wanted: bool) -> None:
        """Start them again, or let them rest."""
        if self.rest == wanted:
            (self.stack.start if wanted else self.stack.stop)(*self.names)
            self.rest = not wanted


_LASTING = pytest.StashKey[dict[str, _Lasting]]()
"""By fixture."""


@contextmanager
def lasting(request: pytest.FixtureRequest, folder: Path, *names: str) -> Iterator[Stack]:
    """The servers of a fixture of COSTLY, which may rest meanwhile."""
    assert request.fixturename in COSTLY
    stack = Stack(folder, ui=False)
    try:
        stack.start(*names)
        request.session.stash.setdefault(_LASTING, {})[request.fixturename] = _Lasting(stack, names)
        yield stack
    finally:
        stack.clean()


def cost(item: pytest.Item) -> int:
    """Of the costliest servers that a test needs: a number from 1 on, 0 of a test that needs none."""
    used = getattr(item, "fixturenames", ())
    return max((number for number, name in enumerate(COSTLY, 1) if name in used), default=0)


def run_those_of(item: pytest.Item) -> None:
    """Those that earlier modules needed rest from the first test on that needs costlier ones. For a test that comes
    later after all they are started again."""
    for name, servers in item.session.stash.get(_LASTING, {}).items():
        if name in getattr(item, "fixturenames", ()):
            servers.run(wanted=True)
        elif COSTLY.index(name) + 1 < cost(item):
            servers.run(wanted=False)
