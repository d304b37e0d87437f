"""The sandbox that workflows run in, the same for the worker and for replay tests."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions


def workflow_runner() -> SandboxedWorkflowRunner:
    """Only models and names are passed through, beside pydantic and what else the SDK passes by default: defining
    them anew for each order costs more than running it (65 instead of 105 ms CPU per order).

    A module that is passed through escapes the sandbox. So it never holds workflow code, such as the steps, and
    import-linter keeps clock and dice out of it instead.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        "order_domain", "order_workflows.contract", "order_workflows.activities"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)
