"""A platform whose Temporal asks for a certificate and an API key."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from cluster import Cluster

from order_devstack.secured_temporal import Credentials
from order_devstack.stack import PLATFORM, Stack


@dataclass
class Secured:
    """The stack, and what its Temporal and its programs know of each other."""

    stack: Stack
    credentials: Credentials
    shop: Cluster
    _heard: dict[str, int] = field(default_factory=dict)

    def listen(self) -> None:
        """Forget what the programs have logged so far."""
        self._heard = {name: len(self._log(name)) for name in PLATFORM}

    def says(self, words: str, *programs: str) -> bool:
        """Whether all of these programs have logged it since."""
        return all(words in self._log(name)[self._heard.get(name, 0) :] for name in programs)

    def _log(self, name: str) -> str:
        return (self.stack.root / "log" / f"{name}.log").read_text()


@contextmanager
def secured_platform(folder: Path, everywhere: Mapping[str, str] = MappingProxyType({})) -> Iterator[Secured]:
    """All of it in `folder`. `everywhere`: further settings of operator and workers, such as the keys of payloads."""
    credentials = Credentials(folder / "credentials")
    environment = dict.fromkeys(PLATFORM, everywhere)
    stack = Stack(folder / "stack", ui=False, credentials=credentials, environment=environment)
    try:
        stack.up()
        yield Secured(stack, credentials, Cluster(stack, "secured"))
    finally:
        stack.clean()
