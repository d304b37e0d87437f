"""The generated reference says something about everything that it lists."""

from collections.abc import Iterable

import pytest
from prometheus_client.metrics import MetricWrapperBase

from order_devstack.reference import conditions, kinds, metrics, values
from order_domain.errors import PermanentError, TransientError
from order_domain.explained import Explained
from order_domain.refusals import EndType, RefusalType
from order_operator import metrics as operator_metrics
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.cluster.event_reasons import EventReason


def rows(page: str) -> list[list[str]]:
    """The cells of all rows of all tables, without their heads."""
    found = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return [row for row in found if row[0].startswith(("`", "**`"))]


def named(page: str) -> set[str]:
    return {row[0].strip("*`") for row in rows(page)}


@pytest.mark.parametrize("words", [ConditionType, Reason, RefusalType, EndType, EventReason])
def test_every_name_says_what_it_means_in_a_sentence(words: Iterable[Explained]) -> None:
    unsaid = [each for each in words if not each.meaning.endswith(".") or (each.remedy and each.remedy[-1] != ".")]

    assert unsaid == []
    assert {each.value for each in words} <= named(conditions.text())


def test_every_error_of_a_step_is_on_the_page() -> None:
    errors = {error.__name__ for kind in (PermanentError, TransientError) for error in kind.__subclasses__()}

    assert errors <= named(conditions.text())


def test_every_field_of_a_kind_has_a_meaning() -> None:
    silent = [row[0] for row in rows(kinds.text()) if len(row) < 5 or not row[-1]]

    assert silent == []


def test_a_field_says_its_type_its_bounds_and_its_default() -> None:
    fields = {row[0]: [cell.strip() for cell in row[1:4]] for row in rows(kinds.text())}

    assert fields["**`spec.lines[].quantity`**"] == ["integer", "1 to 1000000", ""]
    assert fields["`spec.suspend`"] == ["boolean", "", "`false`"]


def test_every_metric_of_the_operator_is_on_the_page_with_its_labels() -> None:
    page = {row[0].strip("`"): row for row in rows(metrics.text())}
    counters = [item for item in vars(operator_metrics).values() if isinstance(item, MetricWrapperBase)]

    assert {family.name for metric in counters for family in metric.describe()} <= {
        name.removesuffix("_total") for name in page
    }
    assert [cell.strip() for cell in page["orders_payment_requests_total"][1:4]] == [
        "counter",
        "number",
        "`operation`, `result`",
    ]


def test_a_value_of_the_chart_has_the_comment_above_it_as_its_meaning() -> None:
    page = {row[0].strip("`"): [cell.strip() for cell in row[1:]] for row in rows(values.text())}

    assert page["operator.paused"] == ["`false`", "Starts no new order; those that have a workflow go on."]
    assert page["workers.orders.taskQueue"] == ['`"orders"`', "Temporal task queue that these pods poll."]
    assert page["workers"][1].startswith("One Deployment per entry")
