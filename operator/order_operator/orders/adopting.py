"""What to do about a workflow that is to go on with an order and does not know of it: pure, a part of `decision.py`."""

from order_operator.cluster.conditions import Reason
from order_operator.orders.actions import Action, Adopt, Confirm
from order_operator.orders.adoption import adoption
from order_operator.orders.display import AGAIN_SECONDS, show
from order_operator.orders.known import Known
from order_operator.orders.observation import Observation
from order_operator.problem import Problem


def adopt(known: Known, run: Observation, *, applying: bool = False) -> Action:
    """Ask the workflow to go on with the order. `applying`: the status shows what the order was before, until the
    workflow has answered."""
    if not known.exists:
        return Confirm()
    wanted = adoption(known.order, known.cluster)
    if known.edits.is_due(wanted, known.clock):
        return Adopt(run, wanted)
    refused = known.edits.refused.get(wanted.update_id)
    if refused is not None:
        reason = refused.reason if refused.again_at is not None else Reason.REFUSED
        problem = Problem(reason, refused.message, stalled=refused.again_at is None)
    else:
        why = f"workflow {run.workflow_id} is asked to go on with this order, as soon as a worker answers"
        problem = Problem(Reason.ADOPTING, why)
    return show(known, problem, again=AGAIN_SECONDS, applying=applying)


def has_forgotten_adoption(known: Known, run: Observation) -> bool:
    """Whether the order had this workflow, and the workflow knows of no adoption at all: it was reset, or Temporal
    restored, to before it. Where another resource has taken it over since, it names that one."""
    order = known.order
    if not order.shows_as_taken(run.workflow_id, known.cluster) or order.was_shown_as_adopted:
        return False
    here = run.cluster == known.cluster and not run.tells_of_adoption
    return here or (run.cluster == order.adopt_from and run.was_never_adopted)
