"""An Order as the watch delivers it."""

from dataclasses import dataclass

from order_domain.order import DeletionPolicy, OrderSpec
from order_domain.status import TERMINAL_PHASES, Phase
from order_operator.cluster.api_names import FINALIZER, ORDER_KIND, ORDERS
from order_operator.cluster.resource import Resource


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
    def ended(self) -> bool:
        """Whether the status shows an end. Good enough to skip work, never to act on."""
        phase = self.status.get("phase")
        return phase in _PHASES and Phase(phase) in TERMINAL_PHASES

    @property
    def observed(self) -> bool:
        """Whether the status speaks of the present spec."""
        return bool(self.status.get("observedGeneration") == self.generation)

    def parse_spec(self) -> OrderSpec:
        """Raises InvalidSpec."""
        return self._parse(OrderSpec)


_PHASES = frozenset(Phase)
