"""What to do about a run that came to no end of its order."""

from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import Action, TakeOver
from order_operator.orders.display import show
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.orders.takeover import seconds_until_takeover
from order_operator.problem import Problem


def next_run(known: Known, run: Observation) -> Action:
    """The next run takes over, once its time has come."""
    if known.connection is not None:
        return show(known, known.connection)
    if known.takeover_problem is not None and known.takeover_again_at > known.clock:
        return show(known, known.takeover_problem, again=known.takeover_again_at - known.clock)
    left = seconds_until_takeover(run, known.now)
    if left > 0:
        why = f"the workflow ended as {run.status.name.title()} without an end of the order: its next run starts soon"
        return show(known, Problem(Reason.RUN_STOPPED, why), again=left)
    return TakeOver(run)
