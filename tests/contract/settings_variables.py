"""The environment variables that the two programs read."""

from typing import Any

from order_operator.settings import Settings as OperatorSettings
from order_worker.settings import Settings as WorkerSettings


class RecordingEnvironment(dict[str, str]):
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def operator_variables() -> set[str]:
    """All of the operator's own; Temporal's are its SDK's."""
    recorded = RecordingEnvironment()
    OperatorSettings.from_environment(recorded, pid=1)
    return recorded.asked


def worker_variables() -> set[str]:
    """All of the worker's own; Temporal's are its SDK's."""
    recorded = RecordingEnvironment()
    WorkerSettings.from_environment(recorded)
    return recorded.asked
