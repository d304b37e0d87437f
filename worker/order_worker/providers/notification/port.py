"""What the platform asks of a mail service."""

from abc import ABC, abstractmethod


class Mailer(ABC):
    """Both methods may raise ProviderUnavailable: whether the mail went out is unknown then, and the same call may be
    repeated."""

    @abstractmethod
    async def send(self, key: str, *, recipient: str, subject: str, body: str) -> None:
        """Send a mail, at most once per `key` where the service remembers keys. Raises Undeliverable (final), or
        OperationConflict if the key is known with another mail."""

    @abstractmethod
    async def was_sent(self, key: str) -> bool:
        """Whether the service has taken a mail under this key. A service without a memory says False: a worker that
        dies between the sending and its record sends that mail twice."""
