"""What a test of random courses fails with."""


class Violation(AssertionError):
    """An invariant does not hold; the message starts with its code."""
