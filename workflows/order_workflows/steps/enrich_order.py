"""Look the order up, in three questions at once: can it be had, who is the customer, what else may they like."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from order_domain.errors import OutOfStock
from order_domain.pipeline import StepName
from order_domain.policy import ShortagePolicy
from order_domain.retry import StepRetry
from order_domain.snapshot import MAX_RECOMMENDATIONS, EnrichmentRecord
from order_domain.status import OrderStatus
from order_workflows import local_activities
from order_workflows.activities.shop_data import FetchProfile, FetchRecommendations, ShopDataActivities
from order_workflows.activities.stock import CheckAvailability, StockActivities
from order_workflows.activity_failures import reason_of
from order_workflows.order_run import OrderRun
from order_workflows.step import Step

T = TypeVar("T")

OPTIONAL_ATTEMPTS = 3
"""For what the order can do without: with the default policy it is held up by three seconds of waiting at most."""


async def run(order: OrderRun) -> None:
    """Raises OutOfStock through the activity, unless the class takes orders for what is to come. An answer about the
    customer that cannot be had is left out."""
    # Every answer is awaited, whichever fails: an activity left behind would report to a step that is over.
    profile, recommendations, available = await asyncio.gather(
        _profile(order), _recommendations(order), _check_availability(order), return_exceptions=True
    )
    for answer in (available, profile, recommendations):
        if isinstance(answer, BaseException):
            raise answer
    assert not isinstance(profile, BaseException)
    assert not isinstance(recommendations, BaseException)
    order.enrichment = EnrichmentRecord(tier=profile, recommendations=recommendations)


async def _check_availability(order: OrderRun) -> None:
    try:
        outcome = await local_activities.as_class_says(
            StockActivities.available,
            CheckAvailability(lines=order.lines, order=order.input.identity),
            order.retry(StepName.ENRICH),
            failed=order.show_retry,
        )
    except FailureError as failure:
        waits = order.input.policy.inventory.on_shortage is ShortagePolicy.BACKORDER
        if not waits or reason_of(failure).type != OutOfStock.__name__:
            raise
        workflow.logger.info("short of stock, to be waited for when it is reserved")
        return
    order.attempted(outcome)


async def _profile(order: OrderRun) -> str | None:
    request = FetchProfile(customer_id=order.spec.customer.id)
    asked = local_activities.as_class_says(
        ShopDataActivities.profile, request, _optional(order), failed=order.show_retry
    )
    answer = await _or_none(asked, "profile")
    return answer.tier if answer else None


async def _recommendations(order: OrderRun) -> list[str]:
    request = FetchRecommendations(customer_id=order.spec.customer.id, skus=[line.sku for line in order.lines])
    asked = local_activities.as_class_says(
        ShopDataActivities.recommendations, request, _optional(order), failed=order.show_retry
    )
    answer = await _or_none(asked, "recommendations")
    return answer.names[:MAX_RECOMMENDATIONS] if answer else []


async def _or_none(asked: Awaitable[T], what: str) -> T | None:
    try:
        return await asked
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        workflow.logger.warning("customer data left out", extra={"what": what, "cause": reason_of(failure).type})
        return None


def _optional(order: OrderRun) -> StepRetry:
    retry = order.retry(StepName.ENRICH)
    attempts = min(retry.max_attempts or OPTIONAL_ATTEMPTS, OPTIONAL_ATTEMPTS)
    return retry.model_copy(update={"max_attempts": attempts})


STEP = Step(
    name=StepName.ENRICH,
    run=run,
    status=OrderStatus.ENRICH_ORDER,
    activities=("check_availability", "fetch_customer_profile", "fetch_recommendations"),
)
