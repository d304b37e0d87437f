"""What time it is for Temporal, as far as its rows tell. The clock of this machine may be minutes away from it."""

import time
from datetime import UTC, datetime, timedelta

from order_workflows.contract import WORKFLOW_TASK_TIMEOUT

MAX_AHEAD = timedelta(minutes=15)
"""A time from further in the future than this, by our clock, does not count: nobody may blind the scanner."""
TRUSTED_SECONDS = 60.0
"""For so long our clock counts on from the newest time. Over hours two clocks run apart."""


class ServerTime:
    """Moves with what is seen in rows."""

    def __init__(self) -> None:
        self.newest: datetime | None = None
        """Newest time in any row; None before there was one."""
        self._seen_at = 0.0
        """Monotonic."""

    def saw(self, moment: datetime) -> None:
        """The server has written this time into a row."""
        if moment <= datetime.now(UTC) + MAX_AHEAD and (self.newest is None or moment > self.newest):
            self.newest, self._seen_at = moment, time.monotonic()

    @property
    def passed(self) -> datetime | None:
        """A time from which on rows are still written. It goes on while no row changes, so that a quiet server does not
        list its last rows for ever, but a workflow task's time-out later: a task writes the time at which it began.
        None before there was a row."""
        if self.newest is None:
            return None
        elapsed = timedelta(seconds=min(TRUSTED_SECONDS, time.monotonic() - self._seen_at))
        return self.newest + max(timedelta(0), elapsed - WORKFLOW_TASK_TIMEOUT)
