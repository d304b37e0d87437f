"""What a payload belongs to. It is part of what is sealed: a payload that is copied elsewhere is refused there.

workflow:<Temporal namespace>/<workflow id>   everything of one workflow, its activities included
nexus:<endpoint>/<operation>                  what one Nexus operation is asked, and answers at once
namespace:<Temporal namespace>                what people send by Temporal's page or command line, which do not say to
                                              which workflow; its readers take what is not encrypted at all as well
"""

from temporalio.converter import (
    ActivitySerializationContext,
    NexusSerializationContext,
    SerializationContext,
    WorkflowSerializationContext,
)

from order_workflows.contract import whose

WORKFLOW, NEXUS, NAMESPACE = "workflow:", "nexus:", "namespace:"
SHIPMENT = "shipment/"
"""How the ids of workflows begin that answer a Nexus operation."""


def scope_of(context: SerializationContext) -> str | None:
    """None where the SDK does not tell, as for an activity of no workflow."""
    match context:
        case WorkflowSerializationContext(namespace=namespace, workflow_id=str(workflow_id)):
            return f"{WORKFLOW}{namespace}/{workflow_id}"
        case ActivitySerializationContext(namespace=namespace, workflow_id=str(workflow_id)):
            return f"{WORKFLOW}{namespace}/{workflow_id}"
        case NexusSerializationContext(endpoint=endpoint, operation=operation):
            return f"{NEXUS}{endpoint}/{operation}"
    return None


def fits(scope: str, reader: str) -> bool:
    """Whether a payload of `scope` may be read at the place `reader`."""
    if scope == reader:
        return True
    if scope.startswith(NAMESPACE):
        return reader.startswith(WORKFLOW) and temporal_namespace_of(reader) == temporal_namespace_of(scope)
    # The answer of a Nexus operation that lasts is the result of the workflow behind it, and sealed for that one; the
    # SDK does not tell the caller which workflow it was.
    return reader.startswith(NEXUS) and workflow_id_of(scope).startswith(SHIPMENT)


def workflow_id_of(scope: str) -> str:
    """Empty for a scope that is no workflow's."""
    return scope.removeprefix(WORKFLOW).partition("/")[2] if scope.startswith(WORKFLOW) else ""


def temporal_namespace_of(scope: str) -> str | None:
    """None for a scope of none."""
    if scope.startswith(NAMESPACE):
        return scope.removeprefix(NAMESPACE)
    return scope.removeprefix(WORKFLOW).partition("/")[0] if scope.startswith(WORKFLOW) else None


def of_all_workflows(temporal_namespace: str) -> str:
    """For what is sent to whichever workflow of a Temporal namespace."""
    return f"{NAMESPACE}{temporal_namespace}"


def kubernetes_namespace_of(scope: str) -> str | None:
    """Of the order that the scope's workflow works for; None if it is no order's."""
    return whose(workflow_id_of(scope)).get("namespace")
