"""Every version of every order of a namespace, as a client of the API server sees them, and what must hold of them
whatever fails."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from cluster import ORDERS, Cluster

Version = dict[str, Any]


class OrderHistory:
    """Collects while `recording`; kubectl watches, straight from the API server, past every proxy."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._file = folder / f"{cluster.namespace}.json"

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Until left."""
        stack = self._cluster.stack
        command = [str(stack.root / "bin" / "kubectl"), f"--namespace={self._cluster.namespace}", "get", ORDERS]
        options = ["--watch", "--output-watch-events", "--output=json"]
        with self._file.open("wb") as output:
            watching = subprocess.Popen(
                [*command, *options], env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)}, stdout=output
            )
            try:
                yield
            finally:
                watching.kill()
                watching.wait()

    def versions(self) -> dict[str, list[Version]]:
        """Those of each order, in their order."""
        found: dict[str, list[Version]] = defaultdict(list)
        text, at, decoder = self._file.read_text(), 0, json.JSONDecoder()
        while at < len(text):
            try:
                event, at = decoder.raw_decode(text, at)
            except ValueError:  # the last one, which kubectl did not finish
                break
            found[event["object"]["metadata"]["name"]].append(event["object"])
            at += len(text[at:]) - len(text[at:].lstrip())
        return found

    # What must hold.

    def falls(self) -> list[str]:
        """Where observedGeneration or progress fell, or a status that named a workflow was taken back; should be
        empty."""
        found = []
        for name, versions in self.versions().items():
            for before, after in pairwise([version.get("status") or {} for version in versions]):
                found += [
                    f"{name}: {field} {before[field]} -> {after.get(field)}"
                    for field in ("observedGeneration", "progress")
                    if before.get(field, 0) > after.get(field, 0)
                ]
                if "workflow" in before and ("workflow" not in after or after.get("phase") == "Pending"):
                    found.append(f"{name}: {before['phase']} -> {after.get('phase')}")
        return found

    def finalizers_put_back(self) -> list[str]:
        """Orders that got the finalizer again after it had been taken off, which happens at an order's end alone;
        should be empty."""
        found = []
        for name, versions in self.versions().items():
            held = [bool(version["metadata"].get("finalizers")) for version in versions]
            if [before < after for before, after in pairwise(held)].count(True) > 1:
                found.append(name)
        return found

    def flaws(self) -> list[str]:
        """All of these."""
        return [*self.falls(), *(f"{name}: finalizer put back" for name in self.finalizers_put_back())]
