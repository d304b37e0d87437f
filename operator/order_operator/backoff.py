"""How long to wait before another attempt, so that what failed at once is not tried again at once.

Every wait is drawn at random: thousands of orders that met one outage would else come back in one moment.
"""

import random

FIRST_SECONDS = 1.0


def growing(failures: int, longest: float, first: float = FIRST_SECONDS) -> float:
    """After so many failures in a row, one or more: at most `first`, twice that, and so on up to `longest`, and half of
    each at least."""
    return min(longest, first * 2.0 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def at_most(seconds: float) -> float:
    """For a look that is due then and does no harm a little earlier."""
    return seconds * random.uniform(0.75, 1.0)  # noqa: S311 - no secret


def not_before(seconds: float) -> float:
    """For what the other side asked to be left alone for."""
    return seconds * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
