"""The environment variables that the programs read."""

from order_codec.__main__ import SETTINGS as CODEC_SERVER_SETTINGS
from order_console.settings import Settings as ConsoleSettings
from order_operator import command_line as operator_command_line
from order_process.settings import variables
from order_worker import command_line as worker_command_line


def operator_variables() -> set[str]:
    """All of the operator's own, former names too; Temporal's are its SDK's."""
    settings = operator_command_line.SETTINGS
    return {name for each in settings for variable in variables(each) for name in variable.names}


def worker_variables() -> set[str]:
    """All of the worker's own, and those of its providers; Temporal's are its SDK's."""
    settings = worker_command_line.SETTINGS
    return {name for each in settings for variable in variables(each) for name in variable.names}


def console_variables() -> set[str]:
    """All of the console's own."""
    return {name for variable in variables(ConsoleSettings) for name in variable.names}


def codec_server_variables() -> set[str]:
    """All of the codec server's own."""
    return {name for each in CODEC_SERVER_SETTINGS for variable in variables(each) for name in variable.names}
