"""Signals that cannot stop a workflow. A signal has no answer, so that one which cannot be used is dropped: the
workflow shows and logs it.

Temporal's SDK drops a signal that it cannot decode. Another number of arguments than declared, and a payload without a
type (bytes, null), it hands to the handler, whose error would fail the workflow task for ever.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_type_hints

from temporalio import workflow

Handler = TypeVar("Handler", bound=Callable[..., None])


def signal(name: str) -> Callable[[Handler], Handler]:
    """As `workflow.signal`, for a method that takes positional arguments whose types are classes. It is called only
    with arguments of these types; the workflow's method `dropped(name, reason)` is told of others."""

    def declare(handler: Handler) -> Handler:
        signature = inspect.signature(handler)
        types = get_type_hints(handler)

        # Wrapped, it shows the SDK the types to decode to.
        @functools.wraps(handler)
        def receive(self: Any, *arguments: Any) -> None:
            try:
                named = signature.bind(self, *arguments).arguments
            except TypeError as wrong_number:
                self.dropped(name, str(wrong_number))
                return
            for parameter, value in list(named.items())[1:]:
                if not isinstance(value, types[parameter]):
                    self.dropped(name, f"{parameter} is a {type(value).__name__}")
                    return
            handler(self, *arguments)

        if not types.keys() - {"return"}:
            # The SDK would leave out every argument of a handler that shows none, and call it.
            del receive.__wrapped__
        return cast("Handler", workflow.signal(name=name)(receive))

    return declare


def log_dropped(name: str, reason: str) -> None:
    """Say that a signal is not followed, and why."""
    workflow.logger.warning("signal dropped", extra={"signal": name, "reason": reason})
