"""The commands of README's example do what a reader expects of them: each succeeds."""

import re
import subprocess
from pathlib import Path

from order_devstack import environment
from order_devstack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
SECTION = "Place an order of your own"
PATIENCE_SECONDS = 120


def commands() -> list[str]:
    """The lines of the section's second block; the first one starts a stack."""
    section = (ROOT / "README.md").read_text().split(f"\n## {SECTION}\n")[1].split("\n## ")[0]
    block = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1]
    return block.splitlines()


def test_the_example_of_the_readme_works_line_by_line(platform: Stack) -> None:
    try:
        for command in commands():
            in_the_stack = ["bash", "-c", f'. "$0" && {command}', platform.root / "env"]
            done = subprocess.run(
                in_the_stack,
                cwd=ROOT,
                env=environment.for_processes(platform.root),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    finally:
        platform.kubectl("delete", "--filename", str(ROOT / "manifests/samples"), "--ignore-not-found", "--timeout=60s")
