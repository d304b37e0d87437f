"""What a step is: one declaration says all that other parts need to know of it."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from order_domain.pipeline import StepName
from order_domain.status import OrderStatus
from order_workflows.activities.effect import EffectKind
from order_workflows.activities.order import BegunEffect
from order_workflows.order_run import OrderRun


@dataclass(frozen=True)
class Step:
    """One step of a pipeline. Each file of `steps/` ends with its own."""

    name: StepName
    run: Callable[[OrderRun], Awaitable[None]]
    """Raises FailureError when its activity failed for good, OrderEnded when the order ends here."""
    status: OrderStatus | None = None
    """What the order shows meanwhile; None for a step that shows itself only if it waits."""
    activities: tuple[str, ...] = ()
    """Names of the activities that a simulated fault of this step can strike."""
    effect: EffectKind | None = None
    """What it does in the world that can be undone."""
    undo: Callable[[OrderRun, BegunEffect, Collection[str]], Awaitable[None]] | None = None
    """Takes one effect back, except for the lines with these ids. Raises FailureError. None where there is no effect,
    and for Ship, whose parcels answer one by one."""
