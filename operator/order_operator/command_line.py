"""The command `order-operator`: it takes no arguments, and its help is the reference of its settings."""

import argparse

from order_operator.settings import Settings
from order_process import command_line
from order_process.settings import Variable

PROGRAM = "order-operator"
SETTINGS = (Settings,)
OTHERS = (
    Variable(("KUBECONFIG",), "How to reach the API server, outside a pod.", "~/.kube/config"),
    command_line.TEMPORAL,
)


def parser() -> argparse.ArgumentParser:
    """Of `order-operator`."""
    description = "Starts a workflow for each Order and StockItem, and shows in them what becomes of it."
    return command_line.parser(PROGRAM, description, SETTINGS, OTHERS)
