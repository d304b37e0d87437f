"""What a command ends with when it does not succeed: one sentence, and an exit code that scripts may rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Of every command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    ENDED_OTHERWISE = 4
    """The order has ended, and not as Completed."""
    TIMED_OUT = 5
    NOT_ALLOWED = 6


class CommandError(Exception):
    """The command cannot do what it was asked. Its text is a sentence for people."""

    code = ExitCode.ERROR


class UsageError(CommandError):
    """The arguments make no sense together."""

    code = ExitCode.USAGE


class NotFound(CommandError):
    """There is no such order."""

    code = ExitCode.NOT_FOUND


class KindMissing(NotFound):
    """The cluster does not know what an order is."""


class EndedOtherwise(CommandError):
    """The order has ended, and not as Completed."""

    code = ExitCode.ENDED_OTHERWISE


class TimedOut(CommandError):
    """It did not happen in time."""

    code = ExitCode.TIMED_OUT


class NotAllowed(CommandError):
    """The caller lacks a right."""

    code = ExitCode.NOT_ALLOWED
