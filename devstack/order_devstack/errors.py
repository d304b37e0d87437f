"""What goes wrong in the stack, said so that the reader knows what to do.

DevstackError
├── StartFailed
└── CommandFailed
"""


class DevstackError(Exception):
    """One sentence for the user, optionally followed by log lines; the command line prints it and exits with 1."""


class StartFailed(DevstackError):
    """A process of the stack ended, or did not answer in time."""


class CommandFailed(DevstackError):
    """A client program (kubectl, helm, temporal) ended with an error."""

    def __init__(self, command: str, returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(f"`{command}` failed ({returncode}): {stderr.strip() or stdout.strip()}")
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr
