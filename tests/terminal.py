"""What a terminal gives to a command and a background job does not."""

import signal


def with_ctrl_c() -> None:
    """For `preexec_fn`: a test run in the background ignores SIGINT, and so would every command that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
