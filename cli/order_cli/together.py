"""Several calls of kubectl at once: each is a process that mostly waits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")


def both(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Their answers. Raises what the first of them raises."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        return one.result(), other.result()


def all_three(
    first: Callable[[], First], second: Callable[[], Second], third: Callable[[], Third]
) -> tuple[First, Second, Third]:
    """Their answers. Raises what the first of them raises."""
    with ThreadPoolExecutor(3) as pool:
        one, two, three = pool.submit(first), pool.submit(second), pool.submit(third)
        return one.result(), two.result(), three.result()
