"""The command `order-operator`: it takes no arguments, and its help is the reference of its settings."""

import argparse

VARIABLES = """environment:
  ORDER_OPERATOR_NAMESPACES                namespaces to watch, with commas (default: all)
  ORDER_OPERATOR_CLUSTER                   identity of this installation in Temporal (default: the uid of kube-system)
  ORDER_OPERATOR_TASK_QUEUE                Temporal task queue of the workers (default: orders)
  ORDER_OPERATOR_METRICS_ADDRESS           <host>:<port> of /metrics; empty: none (default: 0.0.0.0:9090)
  ORDER_OPERATOR_PROBES_ADDRESS            <host>:<port> of /healthz and /readyz; empty: none (default: 0.0.0.0:8080)
  ORDER_OPERATOR_LEASE_NAMESPACE           namespace of the leader's Lease (default: order-platform)
  ORDER_OPERATOR_LEASE_NAME                name of the Lease; releases in one namespace need different ones (default:
                                           order-platform-operator)
  ORDER_OPERATOR_IDENTITY                  name of this process in the Lease (default: host name and process id)
  ORDER_OPERATOR_CREATE_SEARCH_ATTRIBUTES  true or false: whether missing search attributes are registered in Temporal
                                           (default: true)
  ORDER_OPERATOR_CANCEL_ORPHANS            true or false: cancel every workflow whose Order is gone, however many; for a
                                           person who has looked (default: false)
  ORDER_OPERATOR_PAUSED                    true or false: start no new order (default: false)
  KUBECONFIG                               how to reach the API server, outside a pod (default: ~/.kube/config)
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_..., TEMPORAL_PROFILE
                                           as for Temporal's own tools
"""


def parser() -> argparse.ArgumentParser:
    """Of `order-operator`."""
    return argparse.ArgumentParser(
        prog="order-operator",
        description="Starts a workflow for each Order and StockItem, and shows in them what becomes of it.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
