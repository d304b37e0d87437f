"""For the business: what comes in, what becomes of it, how long it takes and where it waits."""

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
)

_HERE = 'cluster=~"$cluster", namespace=~"$namespace"'
_ALL = f'job="order-platform-operator", {_HERE}'
_ORDERS = f'{_ALL}, order_namespace=~"$order_namespace"'
_WORKERS = f'job="order-platform-worker", {_HERE}'
_ENDED = "Order (Completed|Rejected|Cancelled|Expired|Duplicate|Invalid|Failed)"
_PERCENTILES = ((0.5, "half within"), (0.95, "95 % within"), (0.99, "99 % within"))

DASHBOARD = Dashboard(
    name="orders",
    title="Orders",
    meaning="What comes in, what becomes of it, how long it takes and where it waits.",
    variables=[CLUSTER, INSTALLATION, Variable("order_namespace", "Namespace of the orders", "orders_current")],
    sections=[
        Section(
            "Now",
            [
                number(
                    "Under way",
                    "Orders that have not come to an end.",
                    Unit.NUMBER,
                    f'sum(orders_current{{{_ORDERS}, status!~"{_ENDED}"}})',
                ),
                number(
                    "Waiting for a decision",
                    "Orders that somebody has to approve or reject.",
                    Unit.NUMBER,
                    f'sum(orders_current{{{_ORDERS}, status="Await Approval"}})',
                    runbook="approval-aging",
                ),
                number(
                    "In doubt",
                    "Orders in manual review: something could not be done or undone, and a person has to look.",
                    Unit.NUMBER,
                    f'sum(orders_current{{{_ORDERS}, status="Manual Review"}})',
                    worry_above=1,
                    runbook="compensation-failed",
                ),
                number(
                    "Overdue",
                    "Orders that still wait although what they wait for was due. Workers end a wait: are there any?",
                    Unit.NUMBER,
                    f"sum(orders_overdue{{{_ORDERS}}})",
                    worry_above=1,
                    runbook="workers-not-polling",
                ),
                number(
                    "Ended in 24 h",
                    "Orders that came to an end, whatever it was.",
                    Unit.NUMBER,
                    f"round(sum(increase(orders_finished_total{{{_ORDERS}}}[24h])))",
                ),
                number(
                    "Completed of them",
                    "Share of the orders of 24 h that were carried out. Customers cancel and people reject, too.",
                    Unit.SHARE,
                    f'sum(increase(orders_finished_total{{{_ORDERS}, outcome="Completed"}}[24h]))'
                    f" / sum(increase(orders_finished_total{{{_ORDERS}}}[24h]))",
                ),
            ],
        ),
        Section(
            "Flow",
            [
                Panel(
                    "In and out",
                    "Orders whose workflow was started, and orders that ended. Lines that part mean a backlog.",
                    Unit.PER_SECOND,
                    [
                        Query(rate("orders_started_total", _ORDERS), "started"),
                        Query(rate("orders_finished_total", _ORDERS), "ended"),
                    ],
                ),
                Panel(
                    "Ends by outcome",
                    "How orders end.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_finished_total", _ORDERS, "outcome"), "{{outcome}}")],
                    Look.STACKED,
                ),
                Panel(
                    "Orders under way by status",
                    "Where the orders stand that have not ended. A status that grows is where they get stuck.",
                    Unit.NUMBER,
                    [
                        Query(
                            f'sum by (status) (orders_current{{{_ORDERS}, status!~"{_ENDED}"}})',
                            "{{status}}",
                        )
                    ],
                    Look.STACKED,
                ),
                Panel(
                    "Held",
                    "Orders that somebody holds before their next step, by namespace. They go on once resumed.",
                    Unit.NUMBER,
                    [Query(f"sum by (order_namespace) (orders_suspended{{{_ORDERS}}})", "{{order_namespace}}")],
                ),
                Panel(
                    "Failures against the error budget",
                    "Share of orders that failed by no fault of the business, over an hour and over six. With a budget "
                    "of 0.1 %, 1.4 % for an hour pages and 0.6 % for six hours warns.",
                    Unit.SHARE,
                    [
                        Query(
                            f'sum(rate(orders_finished_total{{{_ORDERS}, fault="platform"}}[{hours}h]))'
                            f" / sum(rate(orders_finished_total{{{_ORDERS}}}[{hours}h]))",
                            f"{hours} h",
                        )
                        for hours in (1, 6)
                    ],
                    runbook="error-budget",
                ),
                Panel(
                    "Failures by fault",
                    "business: no stock, a declined payment, no such address. platform: everything else.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_finished_total", f'{_ORDERS}, outcome="Failed"', "fault"), "{{fault}}")],
                    Look.STACKED,
                    runbook="error-budget",
                ),
                Panel(
                    "Lead time of completed orders",
                    "From the creation of the Order to the end of its workflow, waiting for people included; all "
                    "namespaces.",
                    Unit.SECONDS,
                    [
                        Query(quantile(share, "orders_lead_time_seconds", f'{_ALL}, outcome="Completed"'), words)
                        for share, words in _PERCENTILES
                    ],
                ),
            ],
        ),
        Section(
            "Steps",
            [
                Panel(
                    "Steps ended, by step",
                    "How many orders got how far: each step is passed by fewer than the one before; all namespaces.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_step_duration_seconds_count", _ALL, "step"), "{{step}}")],
                ),
                Panel(
                    "Slowest steps",
                    "95 % of the orders pass a step within this time; waiting is part of it; all namespaces.",
                    Unit.SECONDS,
                    [Query(quantile(0.95, "orders_step_duration_seconds", _ALL, "step"), "{{step}}")],
                ),
                Panel(
                    "Steps that fail or are tried again",
                    "Steps that ended as Failed, and further attempts at steps; all namespaces.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("orders_step_duration_seconds_count", f'{_ALL}, outcome="Failed"', "step"),
                            "{{step}} failed",
                        ),
                        Query(rate("orders_step_retries_total", _ALL, "step"), "{{step}} again"),
                    ],
                ),
                Panel(
                    "Undone, by step",
                    "Steps that were undone since an order could not be completed; failed: money or stock is in doubt.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_compensations_total", _ALL, "step, outcome"), "{{step}} {{outcome}}")],
                    runbook="compensation-failed",
                ),
                Panel(
                    "Edits of running orders",
                    "By part of the spec, and whether the workflow took them.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_amendments_total", _ALL, "field, result"), "{{field}} {{result}}")],
                ),
                Panel(
                    "Oldest orders, by status",
                    "How long the order has stood there that has stood there longest; five statuses.",
                    Unit.SECONDS,
                    [Query(f"topk(5, max by (status) (orders_oldest_age_seconds{{{_ORDERS}}}))", "{{status}}")],
                ),
            ],
        ),
        Section(
            "Decisions",
            [
                Panel(
                    "How long decisions take",
                    "Orders by how long they waited for the decision about them; all namespaces.",
                    Unit.SECONDS,
                    [Query(f"sum by (le) (increase(orders_approval_wait_seconds_bucket{{{_ALL}}}[$__rate_interval]))")],
                    Look.HEATMAP,
                    runbook="approval-aging",
                ),
                Panel(
                    "Oldest order that waits for a decision",
                    "Its deadline decides what becomes of it.",
                    Unit.SECONDS,
                    [
                        Query(
                            "max by (order_namespace) "
                            f'(orders_oldest_age_seconds{{{_ORDERS}, status="Await Approval"}})',
                            "{{order_namespace}}",
                        )
                    ],
                    runbook="approval-aging",
                ),
                Panel(
                    "Decisions",
                    "By what was decided, the way it came, and how far the decider's name is proven.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("orders_approval_decisions_total", _ALL, "decision, channel, proof"),
                            "{{decision}} via {{channel}}, {{proof}}",
                        )
                    ],
                    Look.STACKED,
                ),
            ],
        ),
        Section(
            "Money, stock and mail",
            [
                Panel(
                    "Payment operations",
                    "By operation and result; replayed: the provider had done it before, and did nothing twice.",
                    Unit.PER_SECOND,
                    [
                        Query(
                            rate("orders_payment_requests_total", _WORKERS, "operation, result"),
                            "{{operation}} {{result}}",
                        )
                    ],
                ),
                Panel(
                    "Answers of the payment provider",
                    "95 % of its answers come within this time.",
                    Unit.SECONDS,
                    [Query(quantile(0.95, "orders_payment_duration_seconds", _WORKERS, "operation"), "{{operation}}")],
                ),
                Panel(
                    "Money in and out, per hour",
                    "Taken and given back, by currency.",
                    Unit.MINOR,
                    [
                        Query(
                            f"sum by (currency) (increase(orders_payment_captured_minor_total{{{_WORKERS}}}[1h]))",
                            "{{currency}} taken",
                        ),
                        Query(
                            f"sum by (currency) (increase(orders_payment_refunded_minor_total{{{_WORKERS}}}[1h]))",
                            "{{currency}} given back",
                        ),
                    ],
                ),
                Panel(
                    "Money in doubt",
                    "Charges and refunds whose outcome the ledger does not know, by age. Minutes are usual while the "
                    "provider is away.",
                    Unit.NUMBER,
                    [Query(f"max by (kind, age) (orders_money_open_intents{{{_WORKERS}}})", "{{kind}} {{age}}")],
                    runbook="compensation-failed",
                ),
                Panel(
                    "Stock operations",
                    "Reserved, refused for want of stock, released, committed; repeated attempts count again.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_inventory_reservations_total", _WORKERS, "result"), "{{result}}")],
                ),
                Panel(
                    "Articles below their minimum",
                    "StockItems with fewer free pieces than their minimum: the supplier is late, or is not asked.",
                    Unit.NUMBER,
                    [
                        Query(
                            f"sum by (order_namespace) (orders_inventory_below_minimum{{{_ORDERS}}})",
                            "{{order_namespace}}",
                        )
                    ],
                ),
                Panel(
                    "Orders at the supplier",
                    "Placed, delivered, or not placed for an error.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_supplier_orders_total", _WORKERS, "result"), "{{result}}")],
                ),
                Panel(
                    "Mails to customers",
                    "Sent, or not for an error; an order goes on without.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_notifications_total", _WORKERS, "result"), "{{result}}")],
                ),
                Panel(
                    "Events of the audit trail",
                    "rolled_back ones belong to a transaction that is tried again; many mean that the ledger is in "
                    "trouble.",
                    Unit.PER_SECOND,
                    [Query(rate("orders_audit_writes_total", _WORKERS, "result"), "{{result}}")],
                ),
            ],
        ),
    ],
)
