"""A worker that tells Temporal its version registers workflows that keep to it, and no other does."""

import pytest
from temporalio.common import VersioningBehavior
from temporalio.workflow import _Definition

from order_process.settings import SettingsError
from order_worker.bootstrap import deployment
from order_worker.settings import Settings
from order_workflows.order_workflow import OrderWorkflow
from order_workflows.pinned import PinnedOrderWorkflow, PinnedShipmentWorkflow
from order_workflows.shipment_workflow import ShipmentWorkflow

VERSION = {"TEMPORAL_DEPLOYMENT_NAME": "orders", "TEMPORAL_WORKER_BUILD_ID": "abc"}


def test_without_a_version_there_is_no_deployment() -> None:
    assert deployment(Settings.from_environment({})) is None


def test_what_is_not_pinned_goes_on_with_the_next_version() -> None:
    made = deployment(Settings.from_environment(VERSION))

    assert made is not None
    assert (made.version.deployment_name, made.version.build_id) == ("orders", "abc")
    assert made.default_versioning_behavior is VersioningBehavior.AUTO_UPGRADE


@pytest.mark.parametrize("name", list(VERSION))
def test_a_name_without_a_build_and_a_build_without_a_name_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="belong together"):
        Settings.from_environment({name: "a"})


@pytest.mark.parametrize(
    ("pinned", "plain"), [(PinnedOrderWorkflow, OrderWorkflow), (PinnedShipmentWorkflow, ShipmentWorkflow)]
)
def test_a_pinned_workflow_is_the_same_in_all_but_the_version(pinned: type, plain: type) -> None:
    bound, free = _Definition.must_from_class(pinned), _Definition.must_from_class(plain)

    assert (bound.versioning_behavior, free.versioning_behavior) == (
        VersioningBehavior.PINNED,
        VersioningBehavior.UNSPECIFIED,
    )
    assert bound.name == free.name
    for messages in ("signals", "queries", "updates"):
        assert set(getattr(bound, messages)) == set(getattr(free, messages))
