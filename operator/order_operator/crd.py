"""The resource kinds, as generated from the models: `python -m order_operator.crd [--check]`.

Types, bounds and descriptions come from the pydantic models. What a type cannot say stands here as data: CEL rules
(a message always says what to do), list keys, printer columns, selectable fields.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from order_domain.money import MAX_MINOR
from order_domain.order import MAX_DESCRIPTIONS, ChargeKind, OrderSpec
from order_domain.pipeline import MAY_REFUSE, NEEDS, ORDERED, StepName
from order_domain.policy import AddressExpiry, OrderClassSpec
from order_domain.refusals import RefusalType
from order_domain.stock_item import StockItemSpec
from order_operator.api_names import (
    DEFAULT_CLASS_ANNOTATION,
    GROUP,
    ORDER_CLASS_KIND,
    ORDER_CLASSES,
    ORDER_KIND,
    ORDERS,
    STOCK_ITEM_KIND,
    STOCK_ITEMS,
    VERSION,
)
from order_operator.conditions import ConditionType, Reason
from order_operator.status import OrderResourceStatus
from order_operator.stock_item_status import StockItemStatus
from order_operator.structural_schema import Leniency, Schema, structural_schema

CATEGORY = "order-platform"

MAX_STATUS_STRING = 1024
"""Bound of status strings without one of their own; with the bounded lists it keeps a status below 256 KiB."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`)."""

    at: str
    """Path of the schema node that is `self`, for example `spec.approval`; empty for the whole resource, `*` for every
    value of a mapping, `[]` for every entry of a list."""
    rule: str
    message: str
    """What is wrong and what to do, for a person."""
    field: str | None = None
    """Path below `at` that the error names, when it is not `at` itself."""
    reason: Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"] = "FieldValueInvalid"

    def render(self) -> Schema:
        """The rule as the API spells it."""
        path = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.rule, "message": self.message, **path, "reason": self.reason}


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    """True shows it with `-o wide` only."""

    def render(self) -> Schema:
        """The column as the API spells it."""
        return {"name": self.name, "type": self.type, "jsonPath": self.path} | ({"priority": 1} if self.wide else {})


def _fixed(
    field: str,
    once: str = "once the order exists: cancel or delete this order and create another",
    *,
    optional: bool = False,
) -> Rule:
    message = f"{field} is fixed {once}"
    if optional:
        rule = _same(field, optional=True)
        return Rule(at="spec", rule=rule, message=message, field=field, reason="FieldValueForbidden")
    return Rule(at=f"spec.{field}", rule="self == oldSelf", message=message, reason="FieldValueForbidden")


def _same(field: str, *, optional: bool = False) -> str:
    """CEL for: `field` is as it was."""
    if not optional:
        return f"self.{field} == oldSelf.{field}"
    # Added and removed counts as changed too, which a rule on the field itself would not see.
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def _frozen(field: str, condition: str, message: str, *, optional: bool = False) -> Rule:
    """`spec.<field>` may not change once the status that the operator wrote has a condition `c` of which `condition`
    is true."""
    return Rule(
        at="",
        # has() all the way: comparing through optionals is estimated at a hundred times the cost budget.
        rule="!has(oldSelf.status) || !has(oldSelf.status.conditions) || "
        f"!oldSelf.status.conditions.exists(c, {condition}) || "
        f"{_same(f'spec.{field}', optional=optional)}",
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
_DECISION_NOT_ACCEPTED = (Reason.LINES_NOT_APPLIED, RefusalType.AMOUNT_NOT_STATED, RefusalType.STALE_DECISION)
"""Reasons of the condition SpecApplied for which the decision in the spec is none yet."""

# A step's condition appears when the step begins: whatever Charged says, money is under way by then.
_LINES_ARE_FIXED = (
    f"c.type == '{ConditionType.CHARGED}' || "
    f"c.type in ['{ConditionType.APPROVED}', '{ConditionType.FINISHED}'] && c.status == 'True'"
)

ORDER_RULES = (
    _fixed("orderID", optional=True),
    _fixed("className", optional=True),
    _fixed("customer"),
    _fixed("currency"),
    _fixed("payment"),
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
        message="lines are fixed once decided about, for the decision was about these: cancel or create another order",
        field="lines",
        reason="FieldValueForbidden",
    ),
    Rule(
        at="spec",
        rule=f"!has(oldSelf.approval) || !has(self.approval) || {_same('charges', optional=True)}",
        message="charges are fixed once decided about, for the decision was about these: "
        "cancel or create another order",
        field="charges",
        reason="FieldValueForbidden",
    ),
)


def _pipeline_rules() -> list[Rule]:
    """The rules of order_domain.pipeline.flaw."""
    needs = [
        Rule(
            at="spec.pipeline",
            rule=f"!('{step}' in self) || '{needed}' in self",
            message=f"{step} needs {needed}: add {needed}, or remove {step}",
        )
        for step, needed in NEEDS
    ]
    return needs + [
        Rule(
            at="spec.pipeline",
            rule=f"!('{earlier}' in self) || !('{later}' in self) || "
            f"self.indexOf('{earlier}') < self.indexOf('{later}')",
            message=f"{earlier} must come before {later}: move it forward",
        )
        for earlier, later in ORDERED
    ]


def _before_pivot(step: StepName, unless: str = "") -> Rule:
    return Rule(
        at="spec",
        rule=f"!has(self.compensation.pivot) || {unless}!('{step}' in self.pipeline) || "
        f"self.pipeline.indexOf('{step}') < self.pipeline.indexOf(self.compensation.pivot)",
        message=f"{step} can end an order and must come before the pivot: move {step} forward or name a later pivot",
        field="compensation.pivot",
    )


def _retry_rule(at: str) -> Rule:
    return Rule(
        at=at,
        rule="!has(self.totalSeconds) || self.totalSeconds >= self.startToCloseSeconds",
        message="totalSeconds must be at least startToCloseSeconds, or not even one attempt fits: raise it",
        field="totalSeconds",
    )


ORDER_CLASS_RULES = (
    Rule(
        at="spec.pipeline",
        rule="self.all(step, self.exists_one(other, other == step))",
        message="a step may occur only once: remove the second one",
    ),
    Rule(
        at="spec.pipeline",
        rule=f"self.size() == 0 || self[0] == '{StepName.RECEIVE}'",
        message=f"must start with {StepName.RECEIVE}, which makes the order number unique: put it first",
    ),
    *_pipeline_rules(),
    Rule(
        at="spec.approval",
        rule="self.mode != 'Threshold' || has(self.thresholdMinor)",
        message="mode Threshold needs thresholdMinor: set it, or use mode Always or Never",
        field="thresholdMinor",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec.approval",
        rule="self.mode != 'Threshold' || has(self.currency)",
        message="mode Threshold needs the currency of thresholdMinor: set it",
        field="currency",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec",
        rule=f"self.approval.mode == 'Never' || '{StepName.APPROVAL}' in self.pipeline",
        message=f"this approval mode needs the step {StepName.APPROVAL} in the pipeline: add it, or use mode Never",
        field="pipeline",
    ),
    Rule(
        at="spec.approval",
        rule="!has(self.autoApproveAfterSeconds) || self.autoApproveAfterSeconds < self.windowSeconds",
        message="autoApproveAfterSeconds must be less than windowSeconds: lower it, or lengthen the window",
        field="autoApproveAfterSeconds",
    ),
    Rule(
        at="spec",
        rule="!has(self.compensation.pivot) || self.compensation.pivot in self.pipeline",
        message="the pivot is not in the pipeline: add the step, or name another pivot",
        field="compensation.pivot",
    ),
    *(_before_pivot(step) for step in MAY_REFUSE),
    _before_pivot(StepName.ADDRESS_WINDOW, unless=f"self.addressWindow.onExpiry != '{AddressExpiry.FAIL}' || "),
    _retry_rule("spec.retry.default"),
    _retry_rule("spec.retry.steps.*"),
    Rule(
        at="spec.simulation.default",
        rule="!has(self.declineCode)",
        message=f"declineCode is for the step {StepName.CHARGE_PAYMENT} only: set it there, below `steps`",
        field="declineCode",
        reason="FieldValueForbidden",
    ),
    Rule(
        at="spec.simulation.steps",
        rule=f"self.all(step, step == '{StepName.CHARGE_PAYMENT}' || !has(self[step].declineCode))",
        message=f"declineCode is for the step {StepName.CHARGE_PAYMENT} only: remove it from the other steps",
        reason="FieldValueForbidden",
    ),
)


_ONCE_THE_ITEM_EXISTS = "once the item exists: delete this item, or create another StockItem"

STOCK_ITEM_RULES = (
    _fixed("sku", _ONCE_THE_ITEM_EXISTS),
    _fixed("initialOnHand", _ONCE_THE_ITEM_EXISTS),
    Rule(
        at="spec",
        rule="self.target >= self.minimum",
        message="target must be at least minimum, or every delivery would leave too few: raise target or lower minimum",
        field="target",
    ),
)


def _status_schema(model: type[BaseModel]) -> Schema:
    status = structural_schema(model, Leniency(max_length=MAX_STATUS_STRING, defaults=False))
    # One writer applies the whole of each: as atoms they cost one entry in managedFields instead of one per field.
    for name, node in status["properties"].items():
        if node["type"] == "object":
            status["properties"][name] = node | {"x-kubernetes-map-type": "atomic"}
    return status


def order_crd() -> Schema:
    """The CustomResourceDefinition of Order."""
    schema = _resource(
        "A customer's order, carried from receipt to delivery by a Temporal workflow that survives every restart.",
        spec=structural_schema(OrderSpec),
        status=_status_schema(OrderResourceStatus),
    )
    _list_map(schema, "spec.lines", "lineID")
    _list_map(schema, "spec.charges", "chargeID")
    _list_map(schema, "status.conditions", "type")
    return _definition(
        kind=ORDER_KIND,
        plural=ORDERS,
        short_name="ord",
        scope="Namespaced",
        schema=_with_rules(schema, ORDER_RULES),
        columns=[
            Column("Phase", ".status.phase"),
            Column("Status", ".status.orderStatus"),
            Column("Progress", ".status.progress", "integer"),
            Column("Total", ".status.total"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Class", ".status.className", wide=True),
            Column("Tier", ".status.enrichment.tier", wide=True),
            Column("Approved-By", ".status.approval.by", wide=True),
            Column("Tracking", ".status.shipments[0].trackingNumber", wide=True),
            Column("Workflow", ".status.workflow.id", wide=True),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ],
        selectable=[".status.phase", ".status.orderStatus", ".spec.className", ".spec.customer.id"],
    )


def order_class_crd() -> Schema:
    """The CustomResourceDefinition of OrderClass."""
    schema = _resource(
        "Policy for orders: which steps in which order, who must approve, how often to retry. "
        f'The class annotated `{DEFAULT_CLASS_ANNOTATION}: "true"` serves orders that name none.',
        spec=structural_schema(OrderClassSpec),
    )
    return _definition(
        kind=ORDER_CLASS_KIND,
        plural=ORDER_CLASSES,
        short_name="oclass",
        scope="Cluster",
        schema=_with_rules(schema, ORDER_CLASS_RULES),
        columns=[
            Column("Approval", ".spec.approval.mode"),
            Column("Threshold", ".spec.approval.thresholdMinor", "integer"),
            Column("Currency", ".spec.approval.currency"),
            Column("Default", f".metadata.annotations.{DEFAULT_CLASS_ANNOTATION.replace('.', chr(92) + '.')}"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Pipeline", ".spec.pipeline", wide=True),
        ],
    )


def stock_item_crd() -> Schema:
    """The CustomResourceDefinition of StockItem."""
    schema = _resource(
        "An article whose stock is kept between a minimum and a target: with fewer free pieces than the minimum the "
        "supplier is asked for as many as the target lacks, one order at a time.",
        spec=structural_schema(StockItemSpec),
        status=_status_schema(StockItemStatus),
    )
    _list_map(schema, "status.conditions", "type")
    return _definition(
        kind=STOCK_ITEM_KIND,
        plural=STOCK_ITEMS,
        short_name="stock",
        scope="Namespaced",
        schema=_with_rules(schema, STOCK_ITEM_RULES),
        columns=[
            Column("SKU", ".spec.sku"),
            Column("On-Hand", ".status.onHand", "integer"),
            Column("Reserved", ".status.reserved", "integer"),
            Column("On-Order", ".status.onOrder", "integer"),
            Column("Minimum", ".spec.minimum", "integer"),
            Column("Target", ".spec.target", "integer"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Sold", ".status.sold", "integer", wide=True),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ],
        selectable=[".spec.sku"],
    )


def _resource(description: str, *, spec: Schema, status: Schema | None = None) -> Schema:
    parts = {"spec": spec} | ({"status": status} if status else {})
    return {"description": description, "type": "object", "required": ["spec"], "properties": parts}


def _definition(
    *,
    kind: str,
    plural: str,
    short_name: str,
    scope: Literal["Namespaced", "Cluster"],
    schema: Schema,
    columns: Sequence[Column],
    selectable: Sequence[str] = (),
) -> Schema:
    version: Schema = {"name": VERSION, "served": True, "storage": True}
    if "status" in schema["properties"]:
        version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [column.render() for column in columns]
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    version["schema"] = {"openAPIV3Schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _node(schema: Schema, path: str) -> Schema:
    for name in path.split(".") if path else ():
        if name == "*":
            schema = schema["additionalProperties"]
        elif name == "[]":
            schema = schema["items"]
        else:
            schema = schema["properties"][name]
    return schema


def _list_map(schema: Schema, path: str, key: str) -> None:
    _node(schema, path).update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


def _with_rules(schema: Schema, rules: Sequence[Rule]) -> Schema:
    for rule in rules:
        _node(schema, rule.at).setdefault("x-kubernetes-validations", []).append(rule.render())
    return schema


class _Dumper(yaml.SafeDumper):
    """Spells a repeated value out each time: anchors would hide the schema from its readers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


_GENERATED = "# Generated by `make generate` from the models in order_domain and order_operator; do not edit.\n"
_KEEP = "  {{- if .Values.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n"


def generated_files(root: Path) -> dict[Path, str]:
    """Every generated file below `root` with the text that it should have."""
    files = {}
    for plural, crd in {ORDERS: order_crd(), ORDER_CLASSES: order_class_crd(), STOCK_ITEMS: stock_item_crd()}.items():
        text = yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
        assert "{{" not in text, "Helm would read this as a template"
        name = f"  name: {plural}.{GROUP}\n"
        files[root / f"manifests/crds/{plural}.yaml"] = _GENERATED + text
        files[root / f"charts/order-platform-crds/templates/{plural}.yaml"] = _GENERATED + text.replace(
            name, name + _KEEP, 1
        )
    for source in sorted((root / "manifests/classes").glob("*.yaml")):
        files[root / "charts/order-platform/files/classes" / source.name] = source.read_text()
    return files


def stale_files(root: Path) -> list[Path]:
    """The generated files that are missing, differ from their source, or have lost it."""
    wanted = generated_files(root)
    copies = (root / "charts/order-platform/files/classes").glob("*.yaml")
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    return stale + [path for path in copies if path not in wanted]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the stale files, or with `--check` only names them; 1 if a check found any."""
    parser = argparse.ArgumentParser(prog="python -m order_operator.crd", description="Write the generated manifests.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="checkout to work on (default: current folder)")
    options = parser.parse_args(arguments)
    stale = stale_files(options.root)
    for path in stale:
        if options.check:
            sys.stderr.write(f"{path} is stale: run make generate\n")
            continue
        sys.stdout.write(f"{path}\n")
        text = generated_files(options.root).get(path)
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
