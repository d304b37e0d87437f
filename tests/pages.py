"""The commands that a page of the documentation shows, and how they are run as a reader would run them."""

import re
import shutil
import subprocess
import time
from pathlib import Path

from order_devstack import environment
from order_devstack.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 240
REAP_SECONDS = 0.5

# The pages' stack is the one of the checkout, a test's lies elsewhere.
THE_STACK = """
python() {
    [ "$1 $2" = "-m order_devstack" ] || return 64
    command python -m order_devstack --dir "$TEST_STACK" "${@:3}"
}
make() { python -m order_devstack "$@"; }
"""


def sections(page: str) -> dict[str, str]:
    """Text below each second-level heading."""
    parts = re.split(r"^## (.+)\n", (ROOT / page).read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(section: str) -> list[str]:
    """Its `sh` blocks."""
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Reader:
    """Runs commands from the checkout, in a shell that has read the stack's env file, and in one namespace."""

    def __init__(self, stack: Stack, folder: Path, namespace: str) -> None:
        self._stack = stack
        self._kubeconfig = folder / "kubeconfig"
        shutil.copy(stack.kubeconfig, self._kubeconfig)
        kubeconfig = ("--kubeconfig", str(self._kubeconfig))
        stack.kubectl("config", *kubeconfig, "set-context", "--current", "--namespace", namespace)

    def run(self, commands: str) -> None:
        """Fails at the first command that fails, or asks for input."""
        script = f'set -euo pipefail\n. "$0"\nexport KUBECONFIG="$1"\n{THE_STACK}\nset -x\n{commands}'
        in_the_stack = ["bash", "-c", script, str(self._stack.root / "env"), str(self._kubeconfig)]
        deadline = time.monotonic() + PATIENCE_SECONDS
        with subprocess.Popen(
            in_the_stack,
            cwd=ROOT,
            env={**environment.for_processes(self._stack.root), "TEST_STACK": str(self._stack.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as shell:
            while True:
                try:
                    output, _ = shell.communicate(timeout=REAP_SECONDS)
                except subprocess.TimeoutExpired:
                    # What the commands stop may be a child of this process, and gone only once this has looked.
                    self._stack.status()
                    if time.monotonic() > deadline:
                        shell.kill()
                else:
                    break
        assert shell.returncode == 0, output
