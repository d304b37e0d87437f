"""The steps that a pipeline can be made of, each as its own file declares it."""

from order_domain.pipeline import StepName
from order_workflows.activities.effect import EffectKind
from order_workflows.step import Step
from order_workflows.steps import (
    await_address,
    await_approval,
    charge_payment,
    check_fraud,
    enrich_order,
    get_items,
    notify_customer,
    prepare_shipment,
    receive_order,
    reserve_stock,
    ship_order,
    update_order_status,
    validate_order,
)

_MODULES = (
    receive_order,
    validate_order,
    get_items,
    enrich_order,
    check_fraud,
    reserve_stock,
    await_approval,
    prepare_shipment,
    charge_payment,
    await_address,
    ship_order,
    update_order_status,
    notify_customer,
)

STEPS: dict[StepName, Step] = {module.STEP.name: module.STEP for module in _MODULES}
"""By name."""

STEP_OF_ACTIVITY = {activity: step.name for step in STEPS.values() for activity in step.activities}
"""The step that an activity belongs to, by the activity's name. No other activity can be told to fail."""

STEP_OF_EFFECT: dict[EffectKind, Step] = {step.effect: step for step in STEPS.values() if step.effect is not None}
"""The step that has effects of this kind."""
