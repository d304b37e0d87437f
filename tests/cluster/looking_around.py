"""What a pod of the platform is to somebody who gets into it. It has no shell, so Python looks around."""

import json
from typing import Any

from installation import Installation

_LOOK_AROUND = """
import json, os, shutil
def writable(path):
    try:
        open(os.path.join(path, "probe"), "w").close()
    except OSError:
        return False
    return True
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(),
    "writable": [path for path in ("/", "/app", "/opt/venv", "/tmp", "/usr", "/etc") if writable(path)],
    "programs": [name for name in "sh bash dash busybox pip pip3 apt dpkg perl".split() if shutil.which(name)],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}))
"""
POWERLESS = {"user": 65532, "group": 65532, "writable": [], "programs": [], "capabilities": ["0" * 16]}
"""What is found in every pod of the platform."""


def look_around(platform: Installation, component: str) -> dict[str, Any]:
    """In one pod of the component."""
    [pod, *_] = platform.pods(component)
    name = pod["metadata"]["name"]
    found: dict[str, Any] = json.loads(platform.kubectl("exec", name, "--", "python3", "-c", _LOOK_AROUND))
    return found
