"""What the command lines of all programs have in common: `--help` with the settings, `--version`, exit codes, and one
sentence for what went wrong."""

import argparse
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from importlib.metadata import version

from order_process.settings import ProgramSettings, SettingsError, Variable, variables

logger = logging.getLogger(__name__)


class Exit(IntEnum):
    """Exit codes."""

    FINE = 0
    FAILED = 1
    WRONG_USE = 2
    """Arguments, settings or surroundings that somebody has to put right first: the same start fails again."""
    INTERRUPTED = 130
    """As a shell says it of Ctrl-C."""


TEMPORAL = Variable(
    (
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
        "TEMPORAL_API_KEY",
        "TEMPORAL_TLS_…",
        "TEMPORAL_PROFILE",
        "TEMPORAL_CONFIG_FILE",
    ),
    "How to reach Temporal, as its own tools read it.",
    "localhost:7233, namespace default",
)
"""Both programs leave these to Temporal's SDK."""
TEMPORAL_API_KEY_FILE = Variable(
    ("TEMPORAL_API_KEY_FILE",),
    "File with the API key for Temporal, in place of TEMPORAL_API_KEY. Like the files that TEMPORAL_TLS_… name it is "
    "read again when it has changed.",
    "",
)


def parser(
    program: str, description: str, settings: Sequence[type[ProgramSettings]], others: Sequence[Variable] = ()
) -> argparse.ArgumentParser:
    """Its help is the reference of the `settings`, and of `others` that libraries read."""
    made = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="\n".join(_help(settings, others)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"{program} {version('order-platform')}")
    return made


def _help(settings: Sequence[type[ProgramSettings]], others: Sequence[Variable]) -> Iterator[str]:
    yield "environment:"
    for variable in [*(found for each in settings for found in variables(each)), *others]:
        name, *former = variable.names if variable not in others else (", ".join(variable.names),)
        yield textwrap.fill(name, 79, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
        meaning = variable.meaning
        meaning += f" Default: {variable.default}." if variable.default else ""
        meaning += f" Formerly {', '.join(former)}, which still works." if former else ""
        yield textwrap.fill(meaning, 79, initial_indent="      ", subsequent_indent="      ", break_long_words=False)


def in_a_sentence(program: str, run: Callable[[], int], wrong_use: tuple[type[Exception], ...] = ()) -> int:
    """The exit code of `run`. What is refused for its settings, or as one of `wrong_use`, is told in a sentence. What
    nobody thought of is told in one line of the log."""
    refusals: tuple[type[Exception], ...] = (SettingsError, *wrong_use)
    try:
        return run()
    except refusals as refusal:
        sys.stderr.write(f"{program}: {refusal}\n")
        return Exit.WRONG_USE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception:
        logger.exception("ended by an error that nobody thought of")
        return Exit.FAILED
