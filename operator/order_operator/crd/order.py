"""The kind Order: what its models cannot say."""

from order_domain.money import MAX_MINOR
from order_domain.order import MAX_DESCRIPTIONS, MAX_NAMES, ChargeKind, OrderSpec
from order_domain.refusals import RefusalType
from order_operator.cluster.api_names import ORDER_KIND, ORDERS
from order_operator.cluster.conditions import ConditionType, Reason
from order_operator.crd.definition import (
    Column,
    Rule,
    definition,
    fixed,
    list_map,
    resource,
    same,
    status_schema,
    with_rules,
)
from order_operator.crd.structural_schema import Schema, structural_schema
from order_operator.crd.text_rules import TOKEN_RULES
from order_operator.orders.status import OrderResourceStatus


def _frozen(field: str, condition: str, message: str, *, optional: bool = False) -> Rule:
    """`spec.<field>` may not change once the status that the operator wrote has a condition `c` of which `condition`
    is true."""
    return Rule(
        at="",
        # has() all the way: comparing through optionals is estimated at a hundred times the cost budget. The comparison
        # comes first: a write of the status changes nothing in the spec, and need not go through the conditions.
        rule=f"{same(f'spec.{field}', optional=optional)} || "
        "!has(oldSelf.status) || !has(oldSelf.status.conditions) || "
        f"!oldSelf.status.conditions.exists(c, {condition})",
        message=message,
        field=f"spec.{field}",
        reason="FieldValueForbidden",
    )


_OF_LINES = "self.lines.map(line, line.quantity * line.unitPriceMinor).sum()"

_TOTAL = f"{_OF_LINES} + (has(self.charges) ? self.charges.map(charge, charge.amountMinor).sum() : 0)"

_DESCRIPTIONS = " + ".join(
    f"self.{entries}.map(entry, has(entry.description) ? entry.description.size() : 0).sum()"
    for entries in ("lines", "charges")
)
"""Characters; for an order that has charges."""

_NAMES = " + ".join(
    f"({present} ? self.{name}.size() : 0)"
    for name, present in (
        ("requestedBy", "has(self.requestedBy)"),
        ("editedBy", "has(self.editedBy)"),
        ("approval.by", "has(self.approval)"),
        ("cancellation.by", "has(self.cancellation) && has(self.cancellation.by)"),
    )
)
"""Characters."""

_DECISION_NOT_ACCEPTED = (
    Reason.LINES_NOT_APPLIED,
    Reason.PROOF_REQUIRED,
    RefusalType.AMOUNT_NOT_STATED,
    RefusalType.STALE_DECISION,
    RefusalType.OWN_ORDER,
    RefusalType.OWN_EDIT,
    RefusalType.REQUESTER_UNKNOWN,
    RefusalType.EDITOR_UNKNOWN,
)
"""Reasons of the condition SpecApplied for which the decision in the spec is none yet."""

# A step's condition appears when the step begins: whatever Charged says, money is under way by then.
_LINES_ARE_FIXED = (
    f"c.type == '{ConditionType.CHARGED}' || "
    f"c.type in ['{ConditionType.APPROVED}', '{ConditionType.FINISHED}'] && c.status == 'True'"
)

ORDER_RULES = (
    fixed("orderID", optional=True),
    fixed("className", optional=True),
    fixed("customer"),
    fixed("currency"),
    fixed("payment"),
    Rule(
        at="spec",
        rule="!has(oldSelf.requestedBy) || has(self.requestedBy) && self.requestedBy == oldSelf.requestedBy",
        message="requestedBy is fixed once set: cancel or delete this order and create another",
        field="requestedBy",
        reason="FieldValueForbidden",
    ),
    *(Rule(at="spec.payment", rule=each.rule, message=each.message, field="method") for each in TOKEN_RULES),
    Rule(
        at="",
        rule="has(self.spec.orderID) || self.metadata.name.size() <= 63",
        message="without orderID the name is the order number, which has at most 63 characters: "
        "set spec.orderID or choose a shorter name",
        field="spec.orderID",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.totalMinor) || self.totalMinor == {_TOTAL}",
        message="totalMinor must be the sum of quantity x unitPriceMinor over all lines and of amountMinor over all "
        "charges: correct it or leave it out",
        field="totalMinor",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.approval) || !has(self.approval.totalMinor) || self.approval.totalMinor == {_TOTAL}",
        message="approval.totalMinor is not the total of this order's lines and charges: look at the order again, "
        "then decide about its total",
        field="approval.totalMinor",
    ),
    Rule(
        at="spec",
        rule=f"{_OF_LINES} <= {MAX_MINOR}",
        message=f"the lines sum to more than {MAX_MINOR} minor units: split the order",
        field="lines",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.charges) || {_TOTAL} <= {MAX_MINOR}",
        message=f"lines and charges sum to more than {MAX_MINOR} minor units: split the order",
        field="charges",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.charges) || {_TOTAL} >= 0",
        message="discounts are more than lines and other charges together: lower them",
        field="charges",
    ),
    Rule(
        at="spec.charges.[]",
        rule=f"self.kind == '{ChargeKind.DISCOUNT}' ? self.amountMinor < 0 : self.amountMinor >= 0",
        message=f"amountMinor is below zero for kind {ChargeKind.DISCOUNT} and for no other: correct the sign or kind",
        field="amountMinor",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.charges) || {_DESCRIPTIONS} <= {MAX_DESCRIPTIONS}",
        message=f"the descriptions of lines and charges together have more than {MAX_DESCRIPTIONS} characters: "
        "shorten some",
        field="charges",
    ),
    Rule(
        at="spec",
        rule=f"{_NAMES} <= {MAX_NAMES}",
        message=f"requestedBy, editedBy, approval.by and cancellation.by together have more than {MAX_NAMES} "
        "characters: use shorter user names",
        field="editedBy",
    ),
    Rule(
        at="spec.retry",
        rule="self >= oldSelf",
        message="retry never falls: raise it by one for another attempt",
        reason="FieldValueForbidden",
    ),
    _frozen(
        "lines",
        _LINES_ARE_FIXED,
        "lines are fixed once the order is approved, being charged or finished: cancel it, or create another order",
    ),
    _frozen(
        "charges",
        _LINES_ARE_FIXED,
        "charges are fixed once the order is approved, being charged or finished: cancel it, or create another order",
        optional=True,
    ),
    _frozen(
        "shippingAddress",
        f"c.type in ['{ConditionType.SHIPPED}', '{ConditionType.FINISHED}'] && c.status == 'True'",
        "shippingAddress is fixed once the order is shipped or finished: ask the carrier, or create another order",
    ),
    Rule(
        at="",
        # One that the workflow did not accept may be taken back; one that lacks the amount may be completed.
        rule="!has(oldSelf.spec.approval) || "
        "(has(self.spec.approval) && self.spec.approval == oldSelf.spec.approval) || "
        "has(oldSelf.status) && has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, "
        f"c.type == '{ConditionType.SPEC_APPLIED}' && (!has(self.spec.approval) "
        f"? c.reason in {[reason.value for reason in _DECISION_NOT_ACCEPTED]} "
        f": c.reason == '{RefusalType.AMOUNT_NOT_STATED}' && self.spec.approval.by == oldSelf.spec.approval.by "
        "&& self.spec.approval.decision == oldSelf.spec.approval.decision))",
        message="the first decision is final: to stop an approved order set spec.cancellation",
        field="spec.approval",
        reason="FieldValueForbidden",
    ),
    Rule(
        at="spec",
        rule="!has(oldSelf.approval) || !has(self.approval) || self.lines == oldSelf.lines",
        message="lines cannot change after the order was approved or rejected: cancel it, or create another order",
        field="lines",
        reason="FieldValueForbidden",
    ),
    Rule(
        at="spec",
        rule=f"!has(oldSelf.approval) || !has(self.approval) || {same('charges', optional=True)}",
        message="charges cannot change after the order was approved or rejected: cancel it, or create another order",
        field="charges",
        reason="FieldValueForbidden",
    ),
)


def order_crd() -> Schema:
    """The CustomResourceDefinition of Order."""
    schema = resource(
        "A customer's order, carried from receipt to delivery by a Temporal workflow that survives every restart.",
        spec=structural_schema(OrderSpec),
        status=status_schema(OrderResourceStatus),
    )
    list_map(schema, "spec.lines", "lineID")
    list_map(schema, "spec.charges", "chargeID")
    return definition(
        kind=ORDER_KIND,
        plural=ORDERS,
        short_name="ord",
        scope="Namespaced",
        schema=with_rules(schema, ORDER_RULES),
        columns=[
            Column("Phase", ".status.phase"),
            Column("Status", ".status.orderStatus"),
            Column("Progress", ".status.progress", "integer"),
            Column("Total", ".status.total"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Class", ".status.className", wide=True),
            Column("Decision", ".status.approval.decision", wide=True),
            Column("Decided-By", ".status.approval.by", wide=True),
            Column("Tracking", ".status.shipments[0].trackingNumber", wide=True),
            Column("ETA", ".status.shipments[0].estimatedDelivery", wide=True),
            Column("Message", ".status.message"),
        ],
        selectable=[".status.phase", ".status.orderStatus", ".spec.className", ".spec.customer.id"],
    )
