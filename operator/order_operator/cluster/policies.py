"""The admission policies that hold the names in an order true, as the operator and the chart both spell them.

The chart `order-platform-policies` installs them once per cluster. They hold in the namespaces that bear
`NAMESPACE_LABEL`. Whoever changes what a policy of `STAMPING_POLICIES` refuses raises `POLICIES_VERSION`, here and in
the chart: an operator takes the name of a decider for proven only by the policies that it knows.
"""

from order_operator.cluster.api_names import GROUP

DECISIONS_POLICY = f"decisions.orders.{GROUP}"
"""ValidatingAdmissionPolicy: `spec.approval` and `spec.cancellation` are changed by holders of the verbs alone, and
their `by` is the caller."""
REQUESTERS_POLICY = f"requesters.orders.{GROUP}"
"""ValidatingAdmissionPolicy: `spec.requestedBy` and `spec.editedBy` are the caller, or set by a holder of the verb
`request-for`."""
STAMPING_POLICIES = (DECISIONS_POLICY, REQUESTERS_POLICY)
"""All of them have to be in force for a proven name. Each has one ValidatingAdmissionPolicyBinding of the same name,
with `validationActions: [Deny]` (further actions do no harm) and a `namespaceSelector` alone."""

NAMESPACE_LABEL = f"{GROUP}/policies"
"""On a Namespace, with the value `NAMESPACE_ENFORCED`: the bindings' selector."""
NAMESPACE_ENFORCED = "enforced"

VERSION_LABEL = f"{GROUP}/policies-version"
"""On each policy and binding: the version of the rules."""
POLICIES_VERSION = "1"
