"""What Temporal means by NOT_FOUND: the run, which is an answer, or the namespace, which says nothing of any run."""

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.service import RPCError, RPCStatusCode


def is_no_such_run(failed: RPCError) -> bool:
    """Whether the server has answered that it has no such run, or no open one."""
    return failed.status is RPCStatusCode.NOT_FOUND and not lacks_namespace(failed)


def lacks_namespace(failed: RPCError) -> bool:
    """Whether the server does not have the namespace: deleted, or not there yet in a server that was restored."""
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in failed.grpc_status.details)
