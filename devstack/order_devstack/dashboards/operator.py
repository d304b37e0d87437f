"""For whoever runs the platform: whether the operator sees, keeps up and is answered."""

from order_devstack.dashboards.content import (
    CLUSTER,
    INSTALLATION,
    Dashboard,
    Look,
    Panel,
    Query,
    Section,
    Unit,
    number,
    quantile,
    rate,
    rate_or_zero,
)

_OPERATOR = 'job="order-platform-operator", cluster=~"$cluster", namespace=~"$namespace"'
_ENDS = f"orders_temporal_credential_end_timestamp_seconds{{{_OPERATOR}}}"
_FAILED = f'{_OPERATOR}, result="error"'
_LAG = f'{_OPERATOR}, source!="startup"'

DASHBOARD = Dashboard(
    name="operator",
    title="Order operator",
    meaning="Whether the operator sees what happens, keeps up with it and is answered.",
    variables=[CLUSTER, INSTALLATION],
    sections=[
        Section(
            "Now",
            [
                number(
                    "Leaders",
                    "Operators that act on these orders: the one that leads, while the others stand by, and those of "
                    "other installations that watch the same namespaces.",
                    Unit.NUMBER,
                    f"sum(orders_operator_active{{{_OPERATOR}}})"
                    f" + (max(orders_operator_neighbours{{{_OPERATOR}}}) or vector(0))",
                    worry_below=1,
                    runbook="operator-down",
                ),
                number(
                    "Temporal answers",
                    "1 while Temporal answers and is set up for orders.",
                    Unit.NUMBER,
                    f"max(orders_operator_temporal_reachable{{{_OPERATOR}}})",
                    worry_below=1,
                    runbook="temporal-unavailable",
                ),
                number(
                    "Credentials that end soon",
                    "Certificates and keys for Temporal that end within 14 days, or have ended.",
                    Unit.NUMBER,
                    f"sum(({_ENDS} > bool 0) * (({_ENDS} - time()) < bool {14 * 86_400}))",
                    worry_above=1,
                    runbook="temporal-credential",
                ),
                number(
                    "Not seen",
                    "Resources that the watch has not brought for a minute, and namespaces that cannot be listed.",
                    Unit.NUMBER,
                    f"(sum(orders_unobserved{{{_OPERATOR}}}) or vector(0))"
                    f" + sum(orders_operator_unlisted{{{_OPERATOR}}})",
                    worry_above=1,
                    runbook="orders-unobserved",
                ),
                number(
                    "Age of the oldest watch",
                    "Every watch is answered at least once a minute; after 90 s it is deaf.",
                    Unit.SECONDS,
                    f"max(orders_operator_watch_age_seconds{{{_OPERATOR}}})",
                    worry_above=90,
                    runbook="orders-unobserved",
                ),
                number(
                    "Longest reconciliation",
                    "Age of the oldest one under way. None should take a minute.",
                    Unit.SECONDS,
                    f"max(orders_operator_longest_running_reconcile_seconds{{{_OPERATOR}}})",
                    worry_above=60,
                    runbook="reconcile-errors",
                ),
                number(
                    "Orphaned workflows",
                    "Open workflows of this installation whose Order is gone.",
                    Unit.NUMBER,
                    f"sum(orders_orphans{{{_OPERATOR}}})",
                    worry_above=1,
                ),
                number(
                    "Names proven",
                    "1 while the policy that proves deciders' names is in force wherever decisions were awaited.",
                    Unit.NUMBER,
                    f"min(orders_policy_enforced{{{_OPERATOR}}}"
                    f" and on (pod) (orders_operator_active{{{_OPERATOR}}} == 1))",
                    worry_below=1,
                ),
                number(
                    "Orphan brake",
                    "1 while so many workflows look orphaned that none is cancelled until a person has looked.",
                    Unit.NUMBER,
                    f"max(orders_orphan_brake{{{_OPERATOR}}})",
                    worry_above=1,
                ),
            ],
        ),
        Section(
            "Work",
            [
                Panel(
                    "Reconciliations",
                    "By kind and result; retry: it waits for something and looks again.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("orders_operator_reconcile_total", _OPERATOR, "handler, result"),
                            "{{handler}} {{result}}",
                        )
                    ],
                    runbook="reconcile-errors",
                ),
                Panel(
                    "How long they take",
                    "95 % of the reconciliations of a kind end within this time.",
                    Unit.SECONDS,
                    [
                        Query(
                            quantile(0.95, "orders_operator_reconcile_duration_seconds", _OPERATOR, "handler"),
                            "{{handler}}",
                        )
                    ],
                ),
                Panel(
                    "Share that fails",
                    "Of the reconciliations of a kind. A tenth for a quarter of an hour warns.",
                    Unit.SHARE,
                    [
                        Query(
                            f"{rate('orders_operator_reconcile_total', _FAILED, 'handler')} / "
                            f"{rate('orders_operator_reconcile_total', _OPERATOR, 'handler')}",
                            "{{handler}}",
                        )
                    ],
                    runbook="reconcile-errors",
                ),
                Panel(
                    "Under way and waiting",
                    "Reconciliations that run, and resources that wait for one; those not due yet count as waiting.",
                    Unit.NUMBER,
                    [
                        Query(
                            f"sum by (handler) (orders_operator_inflight_reconciles{{{_OPERATOR}}})",
                            "{{handler}} under way",
                        ),
                        Query(f"sum by (handler) (orders_operator_queue_depth{{{_OPERATOR}}})", "{{handler}} waiting"),
                    ],
                ),
                Panel(
                    "Statuses behind their workflows",
                    "From a change in a workflow to the status that shows it.",
                    Unit.SECONDS,
                    [
                        Query(quantile(0.5, "orders_operator_status_sync_lag_seconds", _LAG), "half within"),
                        Query(quantile(0.95, "orders_operator_status_sync_lag_seconds", _LAG), "95 % within"),
                    ],
                    runbook="status-lag",
                ),
                Panel(
                    "Statuses that stay behind",
                    "Orders whose status has shown for a minute another OrderStatus than their workflow published.",
                    Unit.NUMBER,
                    [
                        Query(
                            f"sum by (order_namespace) (orders_search_attribute_mismatch{{{_OPERATOR}}})",
                            "{{order_namespace}}",
                        )
                    ],
                    runbook="status-lag",
                ),
            ],
        ),
        Section(
            "What it asks",
            [
                Panel(
                    "Requests to the API server",
                    "By verb and resource, without watches.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("orders_operator_k8s_requests_total", _OPERATOR, "verb, resource"),
                            "{{verb}} {{resource}}",
                        )
                    ],
                ),
                Panel(
                    "Answers of the API server",
                    "By code. 409: somebody else was quicker. 429: too many requests. 403: a right is missing.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_operator_k8s_requests_total", _OPERATOR, "code"), "{{code}}")],
                ),
                Panel(
                    "Scans of Temporal",
                    "By kind and result: fast while orders are live, a sweep every 15 s, what is open every minute, a "
                    "full one every 15 min.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_operator_scans_total", _OPERATOR, "kind, result"), "{{kind}} {{result}}")],
                    runbook="temporal-unavailable",
                ),
                Panel(
                    "Watches that ended",
                    "By what they watch; they are started again. Rights that are missing end a watch again and again.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate_or_zero("orders_operator_watch_failures_total", _OPERATOR, "watch"),
                            "{{watch}}",
                        )
                    ],
                    runbook="orders-unobserved",
                ),
                Panel(
                    "Left out, unreadable, deleted",
                    "Events that were not posted, workflows that could not be read, finished Orders that were deleted.",
                    Unit.PER_SECOND,
                    [
                        Query(rate("orders_operator_events_left_out_total", _OPERATOR), "events left out"),
                        Query(rate("orders_operator_undecodable_rows_total", _OPERATOR), "unreadable workflows"),
                        Query(rate("orders_operator_orders_expired_total", _OPERATOR, "reason"), "deleted: {{reason}}"),
                    ],
                ),
                Panel(
                    "Orphans and takeovers",
                    "Workflows without a resource that were cancelled, and terminated ones that a next run ends.",
                    Unit.PER_SECOND,
                    [
                        Query(rate("orders_orphans_cancelled_total", _OPERATOR), "cancelled"),
                        Query(rate("orders_taken_over_total", _OPERATOR), "taken over"),
                    ],
                ),
            ],
        ),
        Section(
            "What it uses",
            [
                Panel(
                    "CPU",
                    "Of each operator.",
                    Unit.CORES,
                    [Query(f"rate(process_cpu_seconds_total{{{_OPERATOR}}}[$__rate_interval])", "{{pod}}")],
                ),
                Panel(
                    "Memory",
                    "Resident, of each operator. 10,000 finished orders take 250 MiB.",
                    Unit.BYTES,
                    [Query(f"process_resident_memory_bytes{{{_OPERATOR}}}", "{{pod}}")],
                ),
                Panel(
                    "Releases",
                    "Operators by release; two lines are a roll-out.",
                    Unit.NUMBER,
                    [Query(f"count by (version) (orders_operator_build_info{{{_OPERATOR}}})", "{{version}}")],
                    Look.STACKED,
                ),
            ],
        ),
    ],
)
