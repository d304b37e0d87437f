"""An Order as the watch delivers it, and its spec, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from pydantic import ValidationError

from order_domain.order import DeletionPolicy, OrderSpec, digest, lines_digest
from order_domain.snapshot import PaymentRecord
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.cluster.api_names import FINALIZER, ORDER_KIND, ORDERS
from order_operator.cluster.conditions import Reason
from order_operator.cluster.resource import InvalidSpec, Resource
from order_operator.problem import Problem
from order_workflows.contract import RunKey, input_hash, parse_workflow_id


class ParsedSpec:
    """A valid spec, with the digests by which its editable parts are compared."""

    def __init__(self, spec: OrderSpec) -> None:
        self.spec = spec

    @cached_property
    def lines_digest(self) -> str:
        """Of the lines and charges."""
        return lines_digest(self.spec.lines, self.spec.charges)

    @cached_property
    def address_digest(self) -> str:
        """Of the shipping address."""
        return digest(self.spec.shipping_address)

    @cached_property
    def input_hash(self) -> str:
        """Of what cannot change."""
        return input_hash(self.spec)


@dataclass(frozen=True)
class OrderResource(Resource):
    """One version of an Order."""

    plural = ORDERS
    kind = ORDER_KIND

    @property
    def held(self) -> bool:
        """Whether our finalizer keeps the object."""
        return FINALIZER in self.finalizers

    @property
    def deletion_policy(self) -> DeletionPolicy:
        """What its deletion means, readable even when the rest of the spec is not."""
        orphan = self.spec.get("deletionPolicy") == DeletionPolicy.ORPHAN
        return DeletionPolicy.ORPHAN if orphan else DeletionPolicy.CANCEL

    @property
    def decides(self) -> bool:
        """Whether the spec has a decision."""
        return bool(self.spec.get("approval"))

    @property
    def ended(self) -> bool:
        """Whether the status shows an end. Good enough to skip work, never to act on."""
        phase = self.status.get("phase")
        return phase in _PHASES and Phase(phase) in TERMINAL_PHASES

    @property
    def observed(self) -> bool:
        """Whether the status speaks of the present spec."""
        return bool(self.status.get("observedGeneration") == self.generation)

    @property
    def names_workflow(self) -> bool:
        """Whether the status tells of a workflow: one was started then, whatever is seen of it now."""
        return bool(self.status.get("workflow"))

    def elsewhere(self, temporal_namespace: str) -> Problem | None:
        """What to tell of an order whose status names a workflow in another namespace of Temporal than the operator's:
        that this one has no such workflow says nothing of that one."""
        shown = self.other_namespace(temporal_namespace)
        if shown is None:
            return None
        why = (
            f"this order runs in Temporal's namespace {shown!r}, and the operator uses {temporal_namespace!r}. "
            "Set that back; or, if the other is gone for good, take `workflow` off the status, and a new run asks the "
            "ledger what was done"
        )
        return Problem(Reason.WORKFLOW_ELSEWHERE, why, stalled=True)

    @property
    def named_workflow(self) -> RunKey | None:
        """The workflow that the status tells of, where it began under this name and another uid."""
        key = parse_workflow_id(str((self.status.get("workflow") or {}).get("id")))
        same_name = key is not None and (key.namespace, key.name) == (self.namespace, self.name)
        return key if key is not None and same_name and key.uid != self.uid else None

    @property
    def only_refers(self) -> bool:
        """Whether the status tells no more of that workflow than which one it is: the order waits for a word about it,
        and none of its own was ever followed."""
        followed = self.status.get("orderStatus") or self.status.get("phase") != Phase.PENDING
        return self.named_workflow is not None and not followed

    def begins_anew(self, cluster: str) -> bool:
        """Whether the spec says that this is a new order, beside that of the workflow which the status names."""
        return self.named_workflow is not None and self.spec.get("adoptFrom") == cluster

    @property
    def begun_by(self) -> str | None:
        """The class that the status names, if it tells of a workflow: the default one may be another by now."""
        return str(self.status["className"]) if self.names_workflow and self.status.get("className") else None

    @property
    def adopt_from(self) -> str:
        """What the spec says in `adoptFrom`, empty if nothing."""
        return str(self.spec.get("adoptFrom") or "")

    @property
    def names_another_since(self) -> bool:
        """Whether `adoptFrom` was changed since the status showed that another installation has the order. A status of
        an earlier release does not tell, and what stands in the spec is no word of a person then."""
        return self.status.get("adoptFromHeard") not in (None, self.adopt_from)

    def is_taken_back_from(self, owner: str | None) -> bool:
        """Whether a person has said that the order comes back from the installation `owner`, which the status shows as
        the one that has it. No other edit is such a word: it needs the verb `adopt`."""
        shown = (self.status.get("workflow") or {}).get("cluster")
        return self.names_another_since and self.adopt_from == owner and shown == owner

    def carried_elsewhere(self, cluster: str) -> str | None:
        """The installation that has the order, as the status tells, where that is another than `cluster`. A workflow
        that began with this very resource is its own, whatever identity it began under, unless the status shows that
        another one has taken it over."""
        taken_over = self.shows_as_adopted or self.status.get("adoptFromHeard") is not None
        key = parse_workflow_id(str((self.status.get("workflow") or {}).get("id")))
        own = key is not None and key.uid == self.uid
        return self.shows_workflow_of(cluster) if taken_over or not own else None

    @property
    def shows_as_adopted(self) -> bool:
        """Whether the status says that another resource has taken the order over."""
        return any(item.get("reason") == Reason.ADOPTED_ELSEWHERE for item in self.status.get("conditions") or [])

    def shows_workflow_of(self, cluster: str) -> str | None:
        """The installation whose workflow the status shows, where that is another than `cluster`."""
        shown = (self.status.get("workflow") or {}).get("cluster")
        return str(shown) if shown and shown != cluster else None

    def shows_as_taken(self, workflow: str, cluster: str) -> bool:
        """Whether the status shows this workflow as that of `cluster` itself, or as one that was taken over since."""
        shown = self.status.get("workflow") or {}
        return shown.get("id") == workflow and (self.was_shown_as_adopted or shown.get("cluster") == cluster)

    @property
    def was_shown_as_adopted(self) -> bool:
        """Whether the status says that another resource has taken the order over, or said so before another problem
        took the condition's place: `adoptFrom` names who has the order, and did so already then."""
        heard = self.status.get("adoptFromHeard")
        return self.shows_as_adopted or bool(heard and heard == self.adopt_from)

    @property
    def shown_payment(self) -> PaymentRecord | None:
        """What the status shows of the money, if it tells of a workflow."""
        shown = self.status.get("payment")
        if not shown or not self.names_workflow:
            return None
        try:
            return PaymentRecord.model_validate(shown)
        except ValidationError:
            return None  # the schema lets nobody write this

    @property
    def ordered_at(self) -> datetime:
        """When the order began, as far as is known: a resource that was restored from a backup is younger than what its
        status tells."""
        try:
            return min(self.created, datetime.fromisoformat(self.status["startTime"]))
        except (KeyError, TypeError, ValueError):
            return self.created

    def age(self, now: datetime) -> float:
        """Seconds since the API server created the resource; below zero if its clock is ahead of `now`."""
        return (now - self.created).total_seconds()

    @cached_property
    def parsed(self) -> ParsedSpec | Problem:
        """The spec, or what is wrong with it."""
        try:
            return ParsedSpec(self._parse(OrderSpec))
        except InvalidSpec as invalid:
            return Problem(Reason.INVALID_SPEC, str(invalid), stalled=True)

    @cached_property
    def decoded(self) -> ParsedSpec | Problem:
        """The spec as it is, whatever rule it breaks: of an order that has a workflow. An earlier release may have
        accepted it, and its workflow judges what it is told."""
        if isinstance(self.parsed, ParsedSpec):
            return self.parsed
        try:
            return ParsedSpec(OrderSpec.model_validate(self.spec))
        except ValidationError:
            return self.parsed

    def with_version(self, body: Mapping[str, Any]) -> Self:
        """See the base class. Our own writes leave the spec alone, so that it is not parsed again."""
        newer = super().with_version(body)
        for known in ("parsed", "decoded"):
            if known in self.__dict__:
                newer.__dict__[known] = self.__dict__[known]
        return newer


_PHASES = frozenset(Phase)
