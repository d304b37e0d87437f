"""A whole Kubernetes on this machine: one node with pods, Temporal and PostgreSQL beside it, in its own namespaces."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from order_devstack import environment, postgresql, servers
from order_devstack.cluster import container_runtime, debian, keda, machine, pause_image
from order_devstack.cluster.backing_servers import TEMPORAL_PORT
from order_devstack.cluster.layout import NODE_IP, Layout
from order_devstack.errors import CommandFailed, DevstackError, StartFailed
from order_devstack.locking import exclusive
from order_devstack.processes import DetachedProcess, Service, State
from order_devstack.temporal_server import NAMESPACE

_START_SECONDS = 180.0
"""It takes ten; the rest is for a busy machine."""
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


def _say(text: str) -> None:
    print(text, flush=True)


class Cluster:
    """The cluster whose files are in one folder. Several run side by side.

    All methods block and raise DevstackError.
    """

    def __init__(self, root: Path, *, with_keda: bool = False, say: Callable[[str], None] = _say) -> None:
        """Nothing is started or written yet."""
        self.root = root.absolute()
        self._with_keda = with_keda
        self._layout = Layout(self.root)
        self._process = DetachedProcess(self.root, "cluster")
        self._say = say

    # What it is

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator; its address exists inside the node's network only."""
        return self._layout.kubeconfig

    @property
    def log_folder(self) -> Path:
        """One log for each process of the node; they stay when it is gone."""
        return self._layout.log

    @property
    def audit_log(self) -> Path:
        """Every API request of a service account outside of kube-system, one line of JSON each."""
        return self._layout.audit_log

    def state(self) -> State:
        """Running, stopped, or died."""
        return self._process.state()

    # Changing it

    def up(self) -> bool:
        """Start it unless it runs; whether it was started. What a failure or an interruption leaves is stopped."""
        machine.check()
        with self._exclusive():
            if self._process.pid() is not None and self._layout.ready.exists():
                return False
            self._process.stop(_STOP_SECONDS)
            self._clear()
            shutil.rmtree(self._layout.log, ignore_errors=True)
            try:
                self._obtain_programs()
                self._start()
            except BaseException:
                self._process.stop(_STOP_SECONDS)
                self._clear()
                raise
            return True

    def down(self) -> bool:
        """Stop it; whether it ran. Nothing stays but its logs."""
        if not self.root.exists():
            return False
        with self._exclusive():
            ran = self._process.stop(_STOP_SECONDS)
            self._clear()
            return ran

    def load(self, archive: Path) -> None:
        """Give the node the image in a docker-archive."""
        self.run_inside(container_runtime.import_image(archive.absolute()))

    def kill_container(self, identifier: str) -> None:
        """Kill every process of a container at once, as a lack of memory does. `identifier` as in the status of its
        pod."""
        self.run_inside(container_runtime.kill_container(identifier))

    # Talking to it

    def command(self, command: Sequence[str]) -> list[str]:
        """What runs `command` in the node's network, with this machine's files."""
        return ["nsenter", f"--net=/proc/{self._init_pid()}/ns/net", "--", *command]

    def variables(self) -> dict[str, str]:
        """The environment in which kubectl, helm and temporal talk to the cluster."""
        folders = [str(self._layout.programs), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        return {
            **environment.for_processes(self.root / "clients"),
            "PATH": os.pathsep.join([*folders, *debian.SYSTEM_FOLDERS]),
            "KUBECONFIG": str(self.kubeconfig),
            "TEMPORAL_ADDRESS": f"{NODE_IP}:{TEMPORAL_PORT}",
            "TEMPORAL_NAMESPACE": NAMESPACE,
        }

    def kubectl(self, *arguments: str, input: str = "") -> str:  # noqa: A002 - as subprocess spells it
        """Run kubectl; returns its output."""
        return self._run(self.command(["kubectl", *arguments]), text=input)

    def helm(self, *arguments: str) -> str:
        """Run helm; returns its output."""
        return self._run(self.command(["helm", *arguments]))

    def temporal(self, *arguments: str) -> str:
        """Run Temporal's client; returns its output."""
        return self._run(self.command(["temporal", *arguments]))

    def run(self, command: Sequence[str]) -> str:
        """Run a command of this machine in the node's network; returns its output."""
        return self._run(self.command(command))

    def query(self, database: str, query: str) -> list[dict[str, Any]]:
        """The rows that PostgreSQL answers with."""
        asked = f"SELECT coalesce(json_agg(found), '[]') FROM ({query}) AS found"  # noqa: S608 - a test's own
        rows: list[dict[str, Any]] = json.loads(self.execute(database, asked))
        return rows

    def execute(self, database: str, statement: str) -> str:
        """What PostgreSQL answers, as text."""
        plain = ("--no-psqlrc", "--tuples-only", "--no-align", "--quiet")
        return self._postgresql("psql", database, *plain, f"--command={statement}")

    def dump(self, database: str) -> str:
        """Everything in a database, as text; bytes as hexadecimal digits."""
        return self._postgresql("pg_dump", database)

    def run_inside(self, command: Sequence[str]) -> str:
        """Run a command in all of the node's namespaces, as root."""
        target = f"--target={self._init_pid()}"
        return self._run(["nsenter", target, "--net", "--mount", "--pid", "--", *command])

    # Inside

    def _postgresql(self, client: str, database: str, *arguments: str) -> str:
        target = (f"--host={NODE_IP}", f"--username={postgresql.SUPERUSER}", f"--dbname={database}")
        return self._run(self.command([str(postgresql.find_programs() / client), *target, *arguments]))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        def say_who_works() -> None:
            self._say(f"another command works on {self.root}, waiting")

        with exclusive(self.root / ".lock", on_wait=say_who_works):
            yield

    def _clear(self) -> None:
        """Delete everything but the logs."""
        for folder in (self._layout.programs, self.root / "run", self.root / "clients"):
            shutil.rmtree(folder, ignore_errors=True)
        self.kubeconfig.unlink(missing_ok=True)

    def _obtain_programs(self) -> None:
        folder = self._layout.programs
        folder.mkdir(parents=True)
        uses = (servers.Use.STACK, servers.Use.CLUSTER, *((servers.Use.KEDA,) if self._with_keda else ()))
        for name, program in servers.obtain(servers.names_for(*uses)).items():
            (folder / name).symlink_to(program)
        if self._with_keda:
            (folder / keda.KINDS).symlink_to(keda.kinds())
        (folder / "pause.tar").symlink_to(pause_image.obtain(sys.stderr))

    def _start(self) -> None:
        service = Service(
            command=[sys.executable, "-P", "-m", "order_devstack.cluster.namespaces", str(self.root)],
            environment=self.variables(),
            ports=[],
            answers=self._layout.ready.exists,
        )
        self._layout.log.mkdir(parents=True)
        self._process.spawn(service)
        deadline = time.monotonic() + _START_SECONDS
        told = 0
        while not service.answers():
            told = self._tell_progress(told)
            if self._process.pid() is None:
                raise StartFailed(f"the cluster ended while it started: {self._process.log_end()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"the cluster was not ready within {_START_SECONDS:.0f} s: {self._process.log_end()}")
            time.sleep(_POLL_SECONDS)
        self._tell_progress(told)

    def _tell_progress(self, told: int) -> int:
        lines = self._layout.progress.read_text().splitlines() if self._layout.progress.exists() else []
        for line in lines[told:]:
            self._say(f"cluster: {line}")
        return len(lines)

    def _init_pid(self) -> int:
        if self._process.pid() is None or not self._layout.init_pid.exists():
            raise DevstackError(f"no cluster runs in {self.root}: `make cluster-up` starts one.")
        return int(self._layout.init_pid.read_text())

    def _run(self, command: Sequence[str], text: str = "") -> str:
        done = subprocess.run(command, env=self.variables(), input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            told = command[command.index("--") + 1 :]
            raise CommandFailed(" ".join(map(str, told)), done.returncode, done.stdout, done.stderr)
        return done.stdout
