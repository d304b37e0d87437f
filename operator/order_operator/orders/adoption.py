"""Orders that were restored from a backup: the same namespace, name and content under another uid, while the workflow
that began under the first uid is still under way. The restored resource takes that workflow over (Update `adopt`): by
itself where this installation had started it, otherwise only where `spec.adoptFrom` names the installation that had.

docs/decisions/0021-adoption.md
"""

from collections import defaultdict
from dataclasses import dataclass, replace

from temporalio.client import Client

from order_domain.order import DeletionPolicy
from order_operator.cluster.conditions import Reason
from order_operator.orders.amendment import Amendment, Group
from order_operator.orders.observation import Observation, describe
from order_operator.orders.resource import OrderResource, ParsedSpec
from order_operator.orders.takeover import is_abandoned
from order_operator.problem import Problem
from order_workflows.contract import KUBERNETES, UPDATE_ADOPT, Adoption, RunKey, parse_workflow_id, workflow_id


class OpenRuns:
    """The ids of all open workflows that visibility has shown, whatever installation started them, by the namespace
    and name of their order. A hint only: Temporal itself is asked before anything is made of it."""

    def __init__(self) -> None:
        self._ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def saw(self, key: RunKey, *, running: bool) -> None:
        """A row of the workflow that began with this order."""
        if running:
            self._ids[key.namespace, key.name].add(workflow_id(*key))
        else:
            self.ended(workflow_id(*key))

    def ended(self, identifier: str) -> None:
        """This workflow does not run any more."""
        key = parse_workflow_id(identifier)
        if key is None or (key.namespace, key.name) not in self._ids:
            return
        ids = self._ids[key.namespace, key.name]
        ids.discard(identifier)
        if not ids:
            del self._ids[key.namespace, key.name]

    def of_others(self, order: OrderResource) -> list[str]:
        """Those under the name of `order` that began with another uid."""
        ids = self._ids.get((order.namespace, order.name), set())
        return sorted(ids - {workflow_id(order.namespace, order.name, order.uid)})


@dataclass(frozen=True)
class Predecessor:
    """The open workflow of an order of the same name, as Temporal itself has told of it."""

    run: Observation
    ending: bool = False
    """It is being undone, or was told to: it is waited for, not adopted."""
    seen: bool = False
    """This process saw the resource that it is of, or has told it to end."""

    def is_of(self, cluster: str) -> bool:
        """Whether it is an order of the installation `cluster`, which may have had another identity when it began."""
        return self.seen or self.run.cluster == cluster

    @classmethod
    def of(cls, run: Observation, deleted: OrderResource | None, *, told: bool) -> "Predecessor":
        """`deleted` is the resource that it belongs to, where this process saw it: the policy that it was deleted with
        decides. `told`: this process has asked the run to end, or to go on alone."""
        undone = run.is_undoing
        cancels = deleted is not None and deleted.deletion_policy is DeletionPolicy.CANCEL
        stopped = not run.running
        ending = undone or stopped or (not run.orphaned and (told or cancels))
        return cls(run, ending, seen=(run.running or is_abandoned(run)) and (told or deleted is not None))


def obstacle(predecessor: Predecessor, parsed: ParsedSpec, cluster: str) -> Problem | None:
    """Why a resource with this spec, of the installation `cluster`, must not adopt it yet; None if it may."""
    run, adopt_from = predecessor.run, parsed.spec.adopt_from
    if not predecessor.is_of(cluster) and run.cluster != adopt_from:
        owner = run.cluster or "an earlier release"
        take_over = (
            f"set spec.adoptFrom to {run.cluster!r} to take it over"
            if run.cluster
            else "wait for its end, or cancel that workflow"
        )
        why = (
            f"workflow {run.workflow_id}, started by another installation ({owner}), carries an order of this name: "
            f"if this one was restored from a backup, {take_over}; set it to {cluster!r} to begin a new order"
        )
        return Problem(Reason.RESTORED_ELSEWHERE, why, stalled=True)
    if run.unreadable:
        why = f"workflow {run.workflow_id} may carry this order, and this operator cannot read it"
        return Problem(Reason.SNAPSHOT_UNREADABLE, f"{why}: {run.unreadable_because}", stalled=True)
    return ending(predecessor)


def restored_elsewhere(order: OrderResource, parsed: ParsedSpec, cluster: str) -> Problem | None:
    """Of an order whose status shows a workflow of another installation, which Temporal does not have: that it is gone
    does not make the order this installation's own. None where the spec says what to do."""
    owner = order.carried_elsewhere(cluster)
    if owner is None or parsed.spec.adopt_from in (owner, cluster):
        return None
    why = (
        f"this order was carried by another installation ({owner}), and Temporal does not have its workflow: if this "
        f"one was restored from a backup, set spec.adoptFrom to {owner!r}, and the ledger is asked what was done; set "
        f"it to {cluster!r} to begin a new order"
    )
    return Problem(Reason.RESTORED_ELSEWHERE, why, stalled=True)


def ending(predecessor: Predecessor) -> Problem | None:
    """That the earlier order is being undone; None if it is not. Until it is, the ledger gives its number to no other
    order, which would end as Duplicate for good."""
    if not predecessor.ending:
        return None
    workflow = predecessor.run.workflow_id
    why = f"an earlier order of this name is being undone (workflow {workflow}): this one starts after it"
    return Problem(Reason.PREDECESSOR_ENDING, why)


def nearest(one: Predecessor | None, other: Predecessor, parsed: ParsedSpec | Problem, cluster: str) -> Predecessor:
    """Which of two open workflows under an order's name decides what becomes of the order: first one that it can adopt,
    then one of this installation that has to end before, then one about which a person has to decide."""
    if one is None or isinstance(parsed, Problem):
        return one or other

    def distance(each: Predecessor) -> tuple[int, bool]:
        another, waits, ours = is_another_order(each, parsed, cluster), ending(each) is not None, each.is_of(cluster)
        if another:
            return 1 if waits and ours else 3, not ours
        problem = obstacle(each, parsed, cluster)
        unsaid = problem is not None and problem.reason is Reason.RESTORED_ELSEWHERE
        return 2 if unsaid else int(waits), not ours

    return min((one, other), key=distance)


def is_another_order(predecessor: Predecessor, parsed: ParsedSpec, cluster: str) -> bool:
    """Whether the two have nothing to do with each other: another content, or the resource says that it begins anew."""
    run, adopt_from = predecessor.run, parsed.spec.adopt_from
    if run.unreadable:
        ours = predecessor.is_of(cluster) or run.cluster == adopt_from
        return not ours  # an order of ours may not be begun a second time
    begins_anew = adopt_from == cluster != run.cluster
    return begins_anew or run.input_hash != parsed.input_hash


def adoption(order: OrderResource, cluster: str) -> Amendment:
    """What tells a workflow that it belongs to `order`."""
    argument = Adoption(uid=order.uid, cluster=cluster, generation=order.generation, channel=KUBERNETES)
    update_id = f"{order.uid}/{Group.ADOPTION}/{cluster}/{order.generation}"  # a later one takes back what was taken
    return Amendment(Group.ADOPTION, UPDATE_ADOPT, argument, update_id)


async def describe_order(client: Client, order: OrderResource, cluster: str | None = None) -> Observation | None:
    """The state of this order's workflow: its own, one that says that `order` has adopted it, or one of the same
    content that had ended before the order was restored. None if there is none of them. Of `cluster`, if that is given,
    or of the installation that the order names. The status is a hint where to ask, no more."""
    key = RunKey(order.namespace, order.name, order.uid)
    own = await describe(client, key, workflow_id(*key))
    named = order.named_workflow
    if own is not None or named is None:
        return own
    found = await describe(client, named, workflow_id(*named))
    if found is None or found.key == key:
        return found
    parsed = order.decoded
    if isinstance(parsed, Problem):
        return None
    same = found.input_hash == parsed.input_hash
    if cluster is not None and found.cluster not in (None, cluster, parsed.spec.adopt_from):
        return None
    ended = found.snapshot is not None and found.snapshot.status.terminal and not found.running
    return replace(found, key=key) if same and ended else None
