"""What the chart offers a person after an installation: its test, and the commands of its notes."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from cluster import Cluster

from order_devstack.platform import ledger_variables
from order_devstack.stack import Stack


def check(stack: Stack, **variables: str) -> tuple[int, dict[str, str]]:
    """Exit code and line by part of what `helm test` runs, as the operator's account."""
    hooks = yaml.safe_load_all(stack.helm("get", "hooks", "order-platform", "--namespace=order-platform"))
    [pod] = [hook for hook in hooks if hook and hook["metadata"]["annotations"]["helm.sh/hook"] == "test"]
    [container] = [each for each in pod["spec"]["containers"] if each["name"] == "check"]
    said: dict[str, Any] = {item["name"]: item["value"] for item in container["env"]}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "order_operator", *container["command"][1:], "--patience=8"],
        env={**os.environ, **said, "KUBECONFIG": str(stack.root / "operator.kubeconfig"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, {line[5:].split(":")[0]: line for line in done.stdout.splitlines()}


def test_an_installation_that_works_is_found_fit_in_every_part(cluster: Cluster) -> None:
    code, parts = check(cluster.stack)

    assert list(parts) == ["kinds", "classes", "operator", "Temporal", "workers"]
    assert [line for line in parts.values() if not line.startswith("ok")] == []
    assert parts["classes"].endswith("orders that name none follow standard")
    assert parts["operator"] == "ok   operator: devstack leads"
    assert code == 0


@pytest.mark.parametrize(
    ("variables", "part", "words"),
    [
        ({"TEMPORAL_ADDRESS": "127.0.0.1:1"}, "Temporal", "Temporal does not answer"),
        ({"TEMPORAL_NAMESPACE": "nowhere"}, "Temporal", "Temporal has no namespace 'nowhere'"),
        ({"ORDER_OPERATOR_TASK_QUEUE": "nobody"}, "workers", "no worker asks for workflows of the task queue nobody"),
        ({"ORDER_OPERATOR_LEASE_NAME": "nobodys"}, "operator", "nobodys"),
    ],
)
def test_the_part_that_is_not_fit_is_named(cluster: Cluster, variables: dict[str, str], part: str, words: str) -> None:
    code, parts = check(cluster.stack, **variables)

    assert code == 1
    assert parts[part].startswith("FAIL")
    assert words in parts[part]


def test_the_ledger_says_that_it_answers_or_what_is_wrong(cluster: Cluster) -> None:
    command = [sys.executable, "-P", "-m", "order_worker", "check-ledger"]
    environment = {**os.environ, **ledger_variables(cluster.stack.root)}
    fit = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    away = {**environment, "ORDER_LEDGER_URL": "postgresql://nobody@127.0.0.1:1/none"}
    unfit = subprocess.run(command, env=away, capture_output=True, text=True, check=False)

    assert (fit.returncode, fit.stdout) == (0, "ok   ledger: it answers, and its schema suits this release\n")
    assert unfit.returncode == 1
    assert unfit.stderr.startswith("order-worker: ")


def test_the_commands_of_the_notes_carry_an_order_to_its_end(cluster: Cluster) -> None:
    """They named a file of the repository and an article without stock, so that the first order was Invalid."""
    stack = cluster.stack
    notes = stack.helm("get", "notes", "order-platform", "--namespace=order-platform")
    [commands] = re.findall(r"^(kubectl apply .*?^kubectl get [^\n]*)$", notes, re.DOTALL | re.MULTILINE)
    mine = commands.replace("--namespace default", f"--namespace {cluster.namespace}")

    subprocess.run(["/bin/sh", "-ec", f". '{stack.root}/env'\n{mine}"], check=True)

    assert cluster.order("first-order")["status"]["phase"] == "Completed"
