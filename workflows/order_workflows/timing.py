"""Every timeout and retry of the workflow that the order's class does not decide."""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig, LocalActivityConfig

from order_domain.retry import StepRetry

HOLDS_THE_TASK = timedelta(milliseconds=500)
"""A local activity that waits longer for its next attempt lets go of the workflow task: messages are heard meanwhile,
and the step is shown, which otherwise happened only with the task's heartbeat, every eight seconds."""

ROUND_ATTEMPTS = 5
ROUND_TIME = timedelta(seconds=10)
"""Limits of one round of a local activity: attempts, and their time together. Then a durable timer is waited for. Ten
seconds is twice SQLite's busy timeout, and enough for four attempts with the default pauses."""

LEDGER_ROUND_ATTEMPTS = 2
"""Few: while the ledger is away, each round holds a workflow task, and all orders of a worker share some twenty."""

LEDGER = LocalActivityConfig(
    start_to_close_timeout=ROUND_TIME,
    schedule_to_close_timeout=ROUND_TIME,
    local_retry_threshold=HOLDS_THE_TASK,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        maximum_interval=timedelta(milliseconds=400),
        maximum_attempts=LEDGER_ROUND_ATTEMPTS,
    ),
)
"""One round of bookkeeping that must happen. Its pause is shorter than `HOLDS_THE_TASK`: a round with a ledger that
refuses connections is one workflow task of 0.2 seconds, and not two."""

LONGEST_LEDGER_PAUSE = timedelta(seconds=60)
"""Half an hour without the ledger is then 35 rounds of some 8 events each: far from the 51,200 allowed."""


def ask_ledger_again(rounds: int) -> timedelta:
    """How long to wait after so many rounds without an answer: one second, doubled each time."""
    return _doubled(timedelta(seconds=1), rounds, LONGEST_LEDGER_PAUSE)


LONGEST_KEY_PAUSE = timedelta(minutes=15)
"""A month without a key is then 3,000 rounds of some 10 events each: three fifths of the 51,200 allowed."""


def wait_for_key(rounds: int) -> timedelta:
    """How long to wait after so many rounds on workers without the key: two seconds, doubled each time."""
    return _doubled(timedelta(seconds=2), rounds, LONGEST_KEY_PAUSE)


FIRST_REVIEW = timedelta(minutes=15)
LONGEST_REVIEW = timedelta(minutes=60)


def review_again(reviews: int) -> timedelta:
    """How long an order in Manual Review waits before it tries again by itself: 15, 30, then 60 minutes."""
    return _doubled(FIRST_REVIEW, reviews, LONGEST_REVIEW)


LONG_HISTORY = ((40_000, timedelta(hours=6)), (30_000, timedelta(hours=1)), (10_000, timedelta(minutes=15)))
"""From so many events on a wait grows this long. Temporal ends a run at 51,200 events, and the order would be undone
for it. A round of four attempts has some 26 events: by these pauses a step is tried for four months."""

FIRST_LONG_PAUSE = timedelta(seconds=30)
"""The first failure of a step in a history that other things made long."""


def in_history(pause: timedelta, rounds: int, events: int) -> timedelta:
    """`pause`, or longer where the history has many events already: doubled with each round. Only timers may be as long
    as this says, since a replay does not compare them."""
    for length, longest in LONG_HISTORY:
        if events >= length:
            return max(pause, _doubled(FIRST_LONG_PAUSE, rounds, longest))
    return pause


REVIEW_EVENTS = 10_000
"""An order in Manual Review whose history is this long goes on in a new run. A fifth of the 51,200 events allowed."""

EDIT_QUESTION_SECONDS = 30
"""How long a change of lines waits for the fraud check; then it is refused, so that decisions are heard again."""

UNDO = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=20),
)
"""Undoing something at an outside company: about eight minutes of attempts, then a person has to look."""


FIRST_LOOK = timedelta(seconds=30)
LONGEST_LOOK = timedelta(hours=6)
"""A year of waiting for stock is then 1,500 attempts, a fifth of the 51,200 events that a history may have."""


def look_again(attempts: int) -> timedelta:
    """How long to wait for news of stock before asking unasked, after so many attempts: doubled each time."""
    return _doubled(FIRST_LOOK, attempts, LONGEST_LOOK)


LOOK_AT_STOCK = timedelta(minutes=15)
"""News of an article is lost with the worker that should have sent it: this late it is noticed anyhow. An idle stock
item has then about 650 events a day, a sixth of the 4,096 after which the server suggests a new run."""

STOCK_NEWS_PAUSE = timedelta(seconds=1)
"""Between a look at an article and the next one for the sake of news: dozens of orders a second for one article are
then one write to the ledger and one to visibility, and nobody reads counts faster. Unlike the other waits it is
compared with the clock: another value needs `workflow.patched`."""

SUPPLIER = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=10),
    retry_policy=RetryPolicy(maximum_attempts=3),
)
"""Hides a hiccup of three seconds; what lasts longer is shown. Nothing else is done for the article meanwhile, which
three time-outs limit to half a minute."""

WAKE = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(maximum_attempts=3),
)
"""Thirty seconds are a thousand signals at 30 ms each. Given up early, since the next look tries again and a waiting
order also asks by itself."""

FIRST_SUPPLIER_RETRY = timedelta(seconds=30)
LONGEST_SUPPLIER_RETRY = timedelta(minutes=10)
"""A company that was down all night is asked again soon after it is back, and less than 150 times a day."""


def ask_supplier_again(failures: int) -> timedelta:
    """How long to leave a supplier alone that failed so many times in succession: doubled each time."""
    return _doubled(FIRST_SUPPLIER_RETRY, failures, LONGEST_SUPPLIER_RETRY)


FIRST_DELIVERY_CHECK = timedelta(seconds=2)
LONGEST_DELIVERY_CHECK = timedelta(minutes=5)
"""A delivery that is days late costs then less than 300 questions a day."""


def check_delivery_again(checks: int) -> timedelta:
    """How long to wait after so many answers that the pieces have not come: doubled each time."""
    return _doubled(FIRST_DELIVERY_CHECK, checks, LONGEST_DELIVERY_CHECK)


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    return min(first * (1 << min(times - 1, 16)), longest)


FIRST_SHIPMENT_PAUSE = timedelta(seconds=1)
LONGEST_SHIPMENT_PAUSE = timedelta(minutes=5)
"""A shipment without a worker may take days: a day is then 290 questions."""


def ask_for_shipment_again(tries: int) -> timedelta:
    """How long to wait after so many answers that a line's shipment is still under way: doubled each time."""
    return _doubled(FIRST_SHIPMENT_PAUSE, tries, LONGEST_SHIPMENT_PAUSE)


def remote(retry: StepRetry) -> ActivityConfig:
    """For a step whose activity goes through a task queue. The class's total time becomes a number of attempts: a
    schedule-to-close time-out would count the time in which no worker took the task, and fail a charge for it."""
    policy = _policy(retry)
    policy.maximum_attempts = attempts_in_total(retry)
    return ActivityConfig(
        start_to_close_timeout=timedelta(seconds=retry.start_to_close_seconds),
        retry_policy=policy,
        cancellation_type=_LEARN_THE_OUTCOME,
    )


def attempts_in_total(retry: StepRetry) -> int:
    """How many attempts begin within the total time of the class, if each fails at once; 0 means without limit."""
    if retry.total_seconds is None:
        return retry.max_attempts
    left, number = timedelta(seconds=retry.total_seconds), 1
    while (pause := between_attempts(retry, number)) < left:
        if between_attempts(retry, number + 1) == pause:  # from here on all pauses are alike
            number += (left - timedelta.resolution) // pause
            break
        left -= pause
        number += 1
    return min(number, retry.max_attempts or number)


def attempts_in_round(retry: StepRetry, attempts: int) -> int:
    """How many attempts of a local activity come before the next durable timer, after so many: those whose pauses fit
    into `ROUND_TIME`, as far as the class allows more."""
    number, waited = 1, timedelta(0)
    while number < ROUND_ATTEMPTS:
        waited += between_attempts(retry, number)
        if waited > ROUND_TIME:
            break
        number += 1
    return min(number, retry.max_attempts - attempts) if retry.max_attempts else number


def local(retry: StepRetry, attempts: int) -> LocalActivityConfig:
    """One round, of so many attempts, of a step whose activity runs inside the workflow task."""
    policy = _policy(retry)
    policy.maximum_attempts = attempts
    return LocalActivityConfig(
        start_to_close_timeout=timedelta(seconds=retry.start_to_close_seconds),
        local_retry_threshold=HOLDS_THE_TASK,
        retry_policy=policy,
        cancellation_type=_LEARN_THE_OUTCOME,
    )


def between_attempts(retry: StepRetry, attempts: int) -> timedelta:
    """How long the class waits after so many attempts."""
    growth = retry.coefficient ** min(attempts - 1, 32)
    return timedelta(
        seconds=min(retry.initial_seconds * growth, max(retry.initial_seconds, retry.max_interval_seconds))
    )


# A cancelled charge may still go through: learn how it ended before undoing it.
_LEARN_THE_OUTCOME = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def best_effort(retry: StepRetry) -> StepRetry:
    """The same, but never without end: what is not worth holding up an order for is given up after
    `BEST_EFFORT_ATTEMPTS` where the class sets no limit."""
    return retry.model_copy(update={"max_attempts": retry.max_attempts or BEST_EFFORT_ATTEMPTS})


BEST_EFFORT_ATTEMPTS = 5

MAX_CONCURRENT_SHIPMENTS = 20
"""Of one order. Below the 30 Nexus operations that a Temporal server allows a workflow to have open."""


def _policy(retry: StepRetry) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=retry.initial_seconds),
        backoff_coefficient=retry.coefficient,
        maximum_interval=timedelta(seconds=max(retry.initial_seconds, retry.max_interval_seconds)),
        maximum_attempts=retry.max_attempts,
    )
