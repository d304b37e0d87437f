"""The steps that a pipeline can be made of, and the orders of them that make sense."""

from collections.abc import Sequence
from enum import StrEnum


class StepName(StrEnum):
    """The steps a pipeline can be made of."""

    RECEIVE = "Receive"
    VALIDATE = "Validate"
    GET_ITEMS = "GetItems"
    ENRICH = "Enrich"
    CHECK_FRAUD = "CheckFraud"
    RESERVE_STOCK = "ReserveStock"
    APPROVAL = "Approval"
    PREPARE_SHIPMENT = "PrepareShipment"
    CHARGE_PAYMENT = "ChargePayment"
    ADDRESS_WINDOW = "AddressWindow"
    SHIP = "Ship"
    UPDATE_ORDER_STATUS = "UpdateOrderStatus"
    NOTIFY = "Notify"


ORDERED = (
    (StepName.VALIDATE, StepName.RESERVE_STOCK),
    (StepName.VALIDATE, StepName.CHARGE_PAYMENT),
    (StepName.ENRICH, StepName.RESERVE_STOCK),
    (StepName.ENRICH, StepName.CHARGE_PAYMENT),
    (StepName.CHECK_FRAUD, StepName.RESERVE_STOCK),
    (StepName.CHECK_FRAUD, StepName.CHARGE_PAYMENT),
    (StepName.RESERVE_STOCK, StepName.PREPARE_SHIPMENT),
    (StepName.RESERVE_STOCK, StepName.CHARGE_PAYMENT),
    (StepName.APPROVAL, StepName.PREPARE_SHIPMENT),
    (StepName.APPROVAL, StepName.CHARGE_PAYMENT),
    (StepName.PREPARE_SHIPMENT, StepName.SHIP),
    (StepName.CHARGE_PAYMENT, StepName.SHIP),
    (StepName.ADDRESS_WINDOW, StepName.SHIP),
    (StepName.CHARGE_PAYMENT, StepName.UPDATE_ORDER_STATUS),
    (StepName.SHIP, StepName.UPDATE_ORDER_STATUS),
    (StepName.CHARGE_PAYMENT, StepName.NOTIFY),
    (StepName.SHIP, StepName.NOTIFY),
    (StepName.UPDATE_ORDER_STATUS, StepName.NOTIFY),
)
"""A pipeline that has both has the first before the second: nothing is charged for what cannot be had or is not
allowed, nothing leaves the house unpaid, and nobody is told of what has not happened yet."""

NEEDS = (
    (StepName.PREPARE_SHIPMENT, StepName.SHIP),
    (StepName.ADDRESS_WINDOW, StepName.SHIP),
    (StepName.SHIP, StepName.CHARGE_PAYMENT),
)
"""A pipeline that has the first has the second as well."""

MAY_REFUSE = (
    StepName.VALIDATE,
    StepName.ENRICH,
    StepName.CHECK_FRAUD,
    StepName.RESERVE_STOCK,
    StepName.APPROVAL,
)
"""Steps whose proper answer can be No: after the pivot it would come too late."""


def flaw(pipeline: Sequence[StepName]) -> str | None:
    """What is wrong with a pipeline, as a sentence; None when it is legal."""
    if len(set(pipeline)) != len(pipeline):
        return "a step may occur only once"
    if pipeline[0] is not StepName.RECEIVE:
        return f"must start with {StepName.RECEIVE}, which makes the order number unique"
    for step, needed in NEEDS:
        if step in pipeline and needed not in pipeline:
            return f"{step} needs {needed}"
    for earlier, later in ORDERED:
        if earlier in pipeline and later in pipeline and pipeline.index(earlier) > pipeline.index(later):
            return f"{earlier} must come before {later}"
    return None
