"""For whoever scales the workers: whether they keep up, and what they meet. Temporal's own panels, in the names that
our workers serve: counters end in `_total`, durations are seconds."""

from order_devstack.dashboards.content import (
    CLUSTER,
    INSTALLATION,
    Dashboard,
    Look,
    Panel,
    Query,
    Section,
    Unit,
    Variable,
    number,
    quantile,
    rate,
    rate_or_zero,
)

_HERE = 'job="order-platform-worker", cluster=~"$cluster", namespace=~"$namespace"'
_QUEUE = f'{_HERE}, task_queue=~"$task_queue"'
_TEMPORAL = f'{_HERE}, temporal_namespace=~"$temporal_namespace"'
_USED = f"sum by (task_queue, worker_type) (temporal_worker_task_slots_used{{{_QUEUE}}})"
_FREE = (
    f"sum by (task_queue, worker_type) (temporal_worker_task_slots_available{{{_QUEUE}}}"
    f" or orders_worker_free_workflow_slots{{{_QUEUE}}})"
)
_SLOTS_IN_USE = f"{_USED} / ({_USED} + {_FREE})"

DASHBOARD = Dashboard(
    name="workers",
    title="Order workers",
    meaning="Whether the workers keep up with Temporal, what they meet and what they use.",
    variables=[
        CLUSTER,
        INSTALLATION,
        Variable("temporal_namespace", "Temporal namespace", "temporal_num_pollers"),
        Variable("task_queue", "Task queue", "temporal_num_pollers"),
    ],
    sections=[
        Section(
            "Now",
            [
                number(
                    "Workers",
                    "That are scraped.",
                    Unit.NUMBER,
                    f"count(orders_worker_build_info{{{_QUEUE}}})",
                    worry_below=1,
                    runbook="workers-not-polling",
                ),
                number(
                    "Polls for workflow tasks",
                    "Requests for work that are open now. Without any nothing moves.",
                    Unit.NUMBER,
                    f'sum(temporal_num_pollers{{{_QUEUE}, poller_type="workflow_task"}})',
                    worry_below=1,
                    runbook="workers-not-polling",
                ),
                number(
                    "Busiest slots",
                    "Share of the slots in use, of the busiest kind and queue. Near 1: more workers are needed.",
                    Unit.SHARE,
                    f"max({_SLOTS_IN_USE})",
                    worry_above=0.9,
                    runbook="worker-backlog",
                ),
                number(
                    "Wait for a worker",
                    "One workflow task in a hundred waits longer than this.",
                    Unit.SECONDS,
                    quantile(0.99, "temporal_workflow_task_schedule_to_start_latency_seconds", _QUEUE),
                    worry_above=5,
                    runbook="worker-backlog",
                ),
                number(
                    "Tasks that failed in an hour",
                    "Workflow tasks: code that breaks, or does not fit the history.",
                    Unit.NUMBER,
                    f"round(sum(increase(temporal_workflow_task_execution_failed_total{{{_QUEUE}}}[1h])) or vector(0))",
                    worry_above=1,
                    runbook="non-determinism",
                ),
                number(
                    "Ledger connections in use",
                    "Share of those that there can be. At 1 transactions wait.",
                    Unit.SHARE,
                    f'max(sum by (pod) (orders_ledger_pool_connections{{{_HERE}, state="used"}})'
                    f" / sum by (pod) (orders_ledger_pool_connections{{{_HERE}}}))",
                    worry_above=0.9,
                ),
            ],
        ),
        Section(
            "Keeping up",
            [
                Panel(
                    "Workflow tasks wait",
                    "95 % of the workflow tasks of a queue wait no longer for a worker.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(
                                0.95, "temporal_workflow_task_schedule_to_start_latency_seconds", _QUEUE, "task_queue"
                            ),
                            "{{task_queue}}",
                        )
                    ],
                    runbook="worker-backlog",
                ),
                Panel(
                    "Activities wait",
                    "The same of activities. Local activities never wait.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "temporal_activity_schedule_to_start_latency_seconds", _QUEUE, "task_queue"),
                            "{{task_queue}}",
                        )
                    ],
                    runbook="worker-backlog",
                ),
                Panel(
                    "Slots in use",
                    "Share, by queue and kind. A kind at 1 takes no more.",
                    Unit.SHARE,
                    [Query(_SLOTS_IN_USE, "{{task_queue}} {{worker_type}}")],
                ),
                Panel(
                    "Polls that found work",
                    "Share of the polls for workflow tasks that brought one. Low: there are more pollers than work.",
                    Unit.SHARE,
                    [
                        Query(
                            f"{rate('temporal_workflow_task_queue_poll_succeed_total', _QUEUE, 'task_queue')} / "
                            f"({rate('temporal_workflow_task_queue_poll_succeed_total', _QUEUE, 'task_queue')} + "
                            f"({rate('temporal_workflow_task_queue_poll_empty_total', _QUEUE, 'task_queue')} or "
                            f"0 * {rate('temporal_workflow_task_queue_poll_succeed_total', _QUEUE, 'task_queue')}))",
                            "{{task_queue}}",
                        )
                    ],
                ),
                Panel(
                    "Open polls",
                    "By queue and kind.",
                    Unit.NUMBER,
                    [
                        Query(
                            f"sum by (task_queue, poller_type) (temporal_num_pollers{{{_QUEUE}}})",
                            "{{task_queue}} {{poller_type}}",
                        )
                    ],
                ),
                Panel(
                    "Workers by build",
                    "Two lines are a roll-out.",
                    Unit.NUMBER,
                    [
                        Query(
                            f"count by (build_id, task_queue) (orders_worker_build_info{{{_QUEUE}}})",
                            "{{task_queue}} {{build_id}}",
                        )
                    ],
                    Look.STACKED,
                ),
            ],
        ),
        Section(
            "Workflows",
            [
                Panel(
                    "Workflows that ended",
                    "Completed, by type, as Temporal counts: an order that was rejected or cancelled completed, too.",
                    Unit.PER_SECOND,
                    [Query(rate("temporal_workflow_completed_total", _QUEUE, "workflow_type"), "{{workflow_type}}")],
                ),
                Panel(
                    "Workflows that went wrong",
                    "Those of orders that end as Failed fail, too. One that is cancelled as a whole is unusual.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("temporal_workflow_failed_total", _QUEUE, "workflow_type"),
                            "{{workflow_type}} failed",
                        ),
                        Query(
                            rate_or_zero("temporal_workflow_canceled_total", _QUEUE, "workflow_type"),
                            "{{workflow_type}} cancelled",
                        ),
                    ],
                ),
                Panel(
                    "How long workflows live",
                    "95 % of those that ended were open no longer than this.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "temporal_workflow_endtoend_latency_seconds", _QUEUE, "workflow_type"),
                            "{{workflow_type}}",
                        )
                    ],
                ),
                Panel(
                    "Workflow tasks take",
                    "95 % are carried out, and histories replayed, within this time. After ten seconds one is lost.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "temporal_workflow_task_execution_latency_seconds", _QUEUE, "workflow_type"),
                            "{{workflow_type}}",
                        ),
                        Query(
                            quantile(0.95, "temporal_workflow_task_replay_latency_seconds", _QUEUE, "workflow_type"),
                            "{{workflow_type}} replay",
                        ),
                    ],
                ),
                Panel(
                    "Workflow tasks that fail",
                    "By reason. NonDeterminismError: the code does not fit the history.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("temporal_workflow_task_execution_failed_total", _QUEUE, "failure_reason"),
                            "{{failure_reason}}",
                        )
                    ],
                    runbook="non-determinism",
                ),
                Panel(
                    "Workflows kept in memory",
                    "Hits need no replay. Evictions by force: the cache is too small.",
                    Unit.NUMBER,
                    [
                        Query(f"sum(temporal_sticky_cache_size{{{_QUEUE}}})", "kept"),
                        Query(rate("temporal_sticky_cache_hit_total", _QUEUE), "hits per second"),
                        Query(rate_or_zero("temporal_sticky_cache_miss_total", _QUEUE), "misses per second"),
                        Query(
                            rate_or_zero("temporal_sticky_cache_total_forced_eviction_total", _QUEUE),
                            "evictions per second",
                        ),
                    ],
                ),
            ],
        ),
        Section(
            "Activities",
            [
                Panel(
                    "Activities",
                    "Remote ones: charging and shipping. By type.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("temporal_activity_execution_latency_seconds_count", _QUEUE, "activity_type"),
                            "{{activity_type}}",
                        )
                    ],
                ),
                Panel(
                    "Activities take",
                    "95 % of the attempts of a type, within this time.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "temporal_activity_execution_latency_seconds", _QUEUE, "activity_type"),
                            "{{activity_type}}",
                        )
                    ],
                ),
                Panel(
                    "Activities that fail",
                    "Attempts; they are tried again as the class says. Answers such as a declined payment are none.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("temporal_activity_execution_failed_total", _QUEUE, "activity_type"),
                            "{{activity_type}}",
                        )
                    ],
                ),
                Panel(
                    "Local activities",
                    "Short steps that run with a workflow task. The SDK's own counter has `_total` twice.",
                    Unit.PER_SECOND,
                    [Query(rate("temporal_local_activity_total_total", _QUEUE, "activity_type"), "{{activity_type}}")],
                ),
                Panel(
                    "Local activities take",
                    "95 % of the attempts of a type, within this time: mostly the ledger's.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(
                                0.95, "temporal_local_activity_execution_latency_seconds", _QUEUE, "activity_type"
                            ),
                            "{{activity_type}}",
                        )
                    ],
                ),
                Panel(
                    "Local activities that fail",
                    "Attempts, by type.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("temporal_local_activity_execution_failed_total", _QUEUE, "activity_type"),
                            "{{activity_type}}",
                        )
                    ],
                ),
            ],
        ),
        Section(
            "Temporal and the machine",
            [
                Panel(
                    "Requests to Temporal",
                    "By operation, without polls.",
                    Unit.PER_SECOND,
                    [Query(rate("temporal_request_total", _TEMPORAL, "operation"), "{{operation}}")],
                ),
                Panel(
                    "Requests that fail",
                    "By operation and code.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("temporal_request_failure_total", _TEMPORAL, "operation, status_code"),
                            "{{operation}} {{status_code}}",
                        )
                    ],
                    runbook="temporal-unavailable",
                ),
                Panel(
                    "Answers of Temporal",
                    "95 % of the answers to an operation come within this time.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "temporal_request_latency_seconds", _TEMPORAL, "operation"), "{{operation}}"
                        )
                    ],
                ),
                Panel(
                    "CPU",
                    "Of each worker.",
                    Unit.CORES,
                    [Query(f"rate(process_cpu_seconds_total{{{_HERE}}}[$__rate_interval])", "{{pod}}")],
                ),
                Panel(
                    "Memory",
                    "Resident, of each worker.",
                    Unit.BYTES,
                    [Query(f"process_resident_memory_bytes{{{_HERE}}}", "{{pod}}")],
                ),
                Panel(
                    "Connections to the ledger",
                    "By state, of all workers.",
                    Unit.NUMBER,
                    [Query(f"sum by (state) (orders_ledger_pool_connections{{{_HERE}}})", "{{state}}")],
                    Look.STACKED,
                ),
            ],
        ),
    ],
)
