"""Why an encrypted payload cannot be read."""


class Undecodable(Exception):
    """The message is for the platform's operators: it holds nothing of the payload's content."""


class KeyMissing(Undecodable):
    """The key is not in the ring. Put back, it makes the payload readable again."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"it is encrypted with the key {key_id[:64]!r}, which is not in this program's key ring: "
            "put that key back into the Secret"
        )
        self.key_id = key_id


class NewerVersion(Undecodable):
    """It was encrypted by a later release, which can read it."""


class Refused(Undecodable):
    """The payload was changed, or was encrypted for another workflow: it stays unreadable with the same keys."""
