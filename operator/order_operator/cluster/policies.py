"""The admission policy that holds the names in an order true, as the operator and the chart both spell it.

The chart `order-platform-crds` installs it once per cluster (`templates/policies/orders.yaml`), as a
ValidatingAdmissionPolicy with one binding of the same name. Whoever changes what the policy refuses raises
`RULES_VERSION` here and in the chart: an operator takes the name of a decider for proven only by rules that it knows.
"""

from order_operator.cluster.api_names import GROUP

PROVING_POLICY = "order-platform-orders"
"""ValidatingAdmissionPolicy, and its ValidatingAdmissionPolicyBinding: `by` of a decision, `requestedBy` and `editedBy`
are the caller."""
RULES_LABEL = f"{GROUP}/policy-rules"
"""Label of the policy: the version of its rules."""
RULES_VERSION = "1"
