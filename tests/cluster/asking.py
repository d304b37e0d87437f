"""Questions by HTTP to a Service of the platform, from the node's network."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from installation import Installation

_ASK = """
import http.client, json, sys
asked = json.load(sys.stdin)
connection = http.client.HTTPConnection(asked["address"], timeout=30)
connection.request(asked["method"], asked["path"], asked["body"], asked["headers"])
answer = connection.getresponse()
print(json.dumps({"status": answer.status, "text": answer.read().decode()}))
"""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    text: str


def ask(
    platform: Installation, service: str, method: str, path: str, body: str | None, headers: Mapping[str, str]
) -> Answer:
    """On port 80 of the Service."""
    asked = {"address": address(platform, service), "method": method, "path": path, "body": body, "headers": headers}
    command = platform.node.command([sys.executable, "-c", _ASK])
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    return Answer(**json.loads(done.stdout))


def address(platform: Installation, service: str) -> str:
    """IP address of a Service of the release's namespace."""
    found: str = json.loads(platform.kubectl("get", "service", service, "--output=json"))["spec"]["clusterIP"]
    return found
