"""The environment variables that the two programs read."""

from typing import Any

from order_operator.settings import Settings as OperatorSettings
from order_worker.ledger.audit_keys import KeyRing
from order_worker.providers.notification.smtp import SMTPMailer
from order_worker.providers.payment.stripe_payments import StripePayments
from order_worker.settings import Settings as WorkerSettings


class RecordingEnvironment(dict[str, str]):
    """Remembers what was asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
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
    """All of the worker's own, and those of its providers; Temporal's are its SDK's."""
    recorded = RecordingEnvironment(STRIPE_API_KEY="sk_test", SMTP_HOST="mail.example.com", SMTP_FROM="a@example.com")
    WorkerSettings.from_environment(recorded)
    StripePayments.from_environment(recorded)
    SMTPMailer.from_environment(recorded)
    KeyRing.from_environment(recorded)
    return recorded.asked
