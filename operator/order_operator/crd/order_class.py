"""The kind OrderClass: what its models cannot say."""

from order_domain.pipeline import MAY_REFUSE, NEEDS, ORDERED, StepName
from order_domain.policy import AddressExpiry, ApprovalExpiry, OrderClassSpec
from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, ORDER_CLASS_KIND, ORDER_CLASSES
from order_operator.crd.definition import Column, Rule, definition, resource, status_schema, with_rules
from order_operator.crd.structural_schema import Schema, structural_schema
from order_operator.orders.class_status import OrderClassResourceStatus


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
        at="spec.approval",
        rule="!has(self.highThresholdMinor) || has(self.currency)",
        message="highThresholdMinor needs its currency: set it",
        field="currency",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec.approval",
        rule="!has(self.highThresholdMinor) || !has(self.thresholdMinor) || "
        "self.highThresholdMinor >= self.thresholdMinor",
        message="highThresholdMinor must be at least thresholdMinor: raise it",
        field="highThresholdMinor",
    ),
    Rule(
        at="spec.approval",
        rule=f"!self.fourEyes || !has(self.autoApproveAfterSeconds) && self.onExpiry != '{ApprovalExpiry.APPROVE}'",
        message="fourEyes needs a person's decision: remove autoApproveAfterSeconds, and use onExpiry Expire",
        field="fourEyes",
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


def order_class_crd() -> Schema:
    """The CustomResourceDefinition of OrderClass."""
    schema = resource(
        "Policy for orders: which steps in which order, who must approve, how often to retry. "
        f'The class labelled `{DEFAULT_CLASS_LABEL}: "true"` serves orders that name none.',
        spec=structural_schema(OrderClassSpec),
        status=status_schema(OrderClassResourceStatus),
    )
    return definition(
        kind=ORDER_CLASS_KIND,
        plural=ORDER_CLASSES,
        short_name="oclass",
        scope="Cluster",
        schema=with_rules(schema, ORDER_CLASS_RULES),
        columns=[
            Column("Approval", ".spec.approval.mode"),
            Column("Threshold", ".spec.approval.thresholdMinor", "integer"),
            Column("Currency", ".spec.approval.currency"),
            Column("Default", f".metadata.labels.{DEFAULT_CLASS_LABEL.replace('.', chr(92) + '.')}"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
            Column("Pipeline", ".spec.pipeline", wide=True),
        ],
    )
