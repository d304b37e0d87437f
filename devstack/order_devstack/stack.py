"""The servers and the product on this machine, with all their state in one directory."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from order_devstack import (
    control_plane,
    encryption,
    environment,
    platform,
    ports,
    prometheus,
    secured_temporal,
    servers,
    temporal_server,
)
from order_devstack.encryption import CODEC_SERVER
from order_devstack.errors import CommandFailed, DevstackError, StartFailed
from order_devstack.locking import exclusive
from order_devstack.ports import HOST
from order_devstack.processes import DetachedProcess, Service, State
from order_devstack.secured_temporal import Credentials

SERVERS = ("etcd", "kube-apiserver", "temporal")
PLATFORM = ("operator", "worker", "shipping-worker", "nexus-worker")
PROCESSES = SERVERS + PLATFORM
"""In the order of their start; they stop the other way round: an API server hangs without its etcd."""
PROMETHEUS = "prometheus"
"""Runs only where it is installed, and nothing needs it."""
KNOWN = (*PROCESSES, CODEC_SERVER, PROMETHEUS)

_PORTS = (
    *("etcd", "etcd-peer", "kube-apiserver", "temporal", "temporal-ui"),
    *("operator-metrics", "operator-probes", "worker-metrics", "worker-probes"),
    *("shipping-worker-metrics", "shipping-worker-probes", "nexus-worker-metrics", "nexus-worker-probes"),
    *(CODEC_SERVER, "codec-server-probes"),
    PROMETHEUS,
)
# A process that runs but is not ready may only be busy, or have just got its etcd back (gRPC redials within 5 s).
_RECOVERY_SECONDS = 15.0
# The API server needs 2 to 3 s; a worker lets activities under way finish.
_STOP_SECONDS = 30.0


def _say(text: str) -> None:
    print(text, flush=True)  # in a pipe, too, when it happens


@dataclass(frozen=True)
class ProcessStatus:
    """What `status` shows of one process."""

    name: str
    state: State
    pid: int | None
    address: str
    log: Path


class Stack:
    """etcd, kube-apiserver, temporal, operator and workers of one state directory.

    Every method is idempotent and may follow a crash at any point. Methods that change something exclude each other
    across processes. They block; all raise DevstackError.
    """

    def __init__(
        self,
        root: Path,
        *,
        users: Mapping[str, Sequence[str]] = MappingProxyType({}),
        audit: bool = False,
        ui: bool = True,
        credentials: Credentials | None = None,
        chart_values: Mapping[str, object] = MappingProxyType({}),
        environment: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        say: Callable[[str], None] = _say,
    ) -> None:
        """Nothing is started or written yet.

        `users`: further Kubernetes users (name -> groups), each a context in the kubeconfig; `audit`: one line per API
        request in log/audit.log; `credentials`: Temporal is a server as in production that asks for a certificate and
        an API key, and operator and workers show these; `chart_values`: values of the order-platform chart;
        `environment`: further variables (process -> name -> value). All of them take effect when the process concerned
        is next started.
        """
        self.root = root.absolute()
        self._users = users
        self._audit = audit
        self._ui = ui and credentials is None  # the Web UI is part of the development server
        self.credentials = credentials
        """What Temporal asks for; None where it lets everybody in."""
        self._chart_values = chart_values
        self._environment = environment
        self._say = say
        self._programs: dict[str, Path] = {}
        self._thread_lock = threading.RLock()
        self._locked = False

    def with_environment(self, environment: Mapping[str, Mapping[str, str]]) -> "Stack":
        """The same stack; what is started through the object returned gets further variables (process -> name ->
        value)."""
        names = {*self._environment, *environment}
        merged = {name: {**self._environment.get(name, {}), **environment.get(name, {})} for name in names}
        return Stack(
            self.root,
            users=self._users,
            audit=self._audit,
            ui=self._ui,
            credentials=self.credentials,
            chart_values=self._chart_values,
            environment=merged,
            say=self._say,
        )

    # What it is

    @property
    def kubeconfig(self) -> Path:
        """For the admin; one more context for each of `users`."""
        return self.root / "kubeconfig"

    @property
    def addresses(self) -> dict[str, str]:
        """Where the stack listens, by name: host:port for `temporal`, else a URL. Empty before the first start."""
        known = ports.load(self._ports_file)
        schemes = {"kube-apiserver": "https://", "temporal": "", "etcd-peer": ""}
        return {
            name: f"{schemes.get(name, 'http://')}{HOST}:{port}{'/metrics' if name.endswith('-metrics') else ''}"
            for name, port in known.items()
        }

    def pid(self, name: str) -> int | None:
        """Pid of the process, None if it does not run."""
        return self._process(name).pid()

    def status(self) -> list[ProcessStatus]:
        """All processes in the order of their start."""
        lacking = set() if prometheus.program() is not None else {PROMETHEUS}
        lacking |= set() if encryption.is_on(self.root) else {CODEC_SERVER}
        names = [name for name in KNOWN if name not in lacking]
        processes = [self._process(name) for name in names]
        return [
            ProcessStatus(process.name, process.state(), process.pid(), self._address(process.name), process.log)
            for process in processes
        ]

    # Changing it

    def up(self, names: Sequence[str] = PROCESSES, *, keep: bool = False) -> bool:
        """Start what does not run, install the charts if the platform is among `names`; whether anything changed.

        If something fails or this is interrupted, what it started is stopped again, unless `keep`.
        """
        _check(names)
        with self._exclusive(), self._stopping_on_failure(keep) as started:
            for name in servers.names_for(servers.Use.STACK):  # the clients too: they are for the user's shell
                self._program(name)
            self._start([name for name in SERVERS if name in names], started)
            platform_names = [name for name in PLATFORM if name in names]
            installed = self.install_charts() if platform_names else False
            self._start(platform_names, started)
            return bool(started) or installed

    def start(self, *names: str, keep: bool = False) -> None:
        """As `up`, without the charts. What a process needs (etcd for the API server, …) must run or be among them."""
        _check(names)
        with self._exclusive(), self._stopping_on_failure(keep) as started:
            self._start([name for name in KNOWN if name in names], started)

    def stop(self, *names: str) -> None:
        """Stop them in the right order: SIGTERM, then SIGKILL."""
        _check(names)
        if not self.root.exists():
            return
        with self._exclusive():
            for name in reversed(KNOWN):
                if name in names:
                    self._stop(name)

    def down(self) -> None:
        """Stop everything; the data stays."""
        self.stop(*KNOWN)
        ports.give_back(ports.load(self._ports_file).values())

    def clean(self) -> None:
        """Stop everything, without waiting for it to come to an orderly end, and delete the state directory."""
        if not self.root.exists():
            return
        if not self._ports_file.exists() and {path.name for path in self.root.iterdir()} - {"lock", "run"}:
            raise DevstackError(f"{self.root} does not look like the state of a stack; nothing was deleted.")
        with self._exclusive():
            for name in reversed(KNOWN):
                self._stop(name, within_seconds=0.0)
            ports.give_back(ports.load(self._ports_file).values())
            shutil.rmtree(self.root)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process; after SIGKILL returns when it is gone. Its pid file stays, as after a crash."""
        process = self._process(name)
        process.signal(number)
        if number == signal.SIGKILL and not process.wait_until_gone(within_seconds=10.0):
            raise DevstackError(f"{name} survived SIGKILL for 10 s.")

    def install_charts(self) -> bool:
        """Install or upgrade both charts as they are in this checkout; whether there was anything to do."""
        with self._exclusive():
            temporal = {"address": self.addresses["temporal"], "namespace": temporal_server.NAMESPACE}
            values = {"temporal": temporal, **self._chart_values}
            changed = False
            for release, chart_values in (("order-platform-crds", {}), ("order-platform", values)):
                chart = platform.CHARTS / release
                if platform.install_chart(release, chart, chart_values, self.root, self.helm, self.kubectl):
                    self._say(f"{release}: installed")
                    changed = True
                if release == "order-platform-crds":  # the other chart has objects of these kinds
                    platform.wait_for_crds(self.kubectl, self._say)
            return changed

    # Talking to it

    def kubectl(self, *arguments: str, input: str | None = None, user: str = control_plane.ADMIN) -> str:  # noqa: A002 - as subprocess spells it
        """Output of kubectl as `user`. Raises CommandFailed with what it said."""
        return self._client("kubectl", [f"--context={user}", *arguments], input)

    def read(self, path: str) -> dict[str, Any]:
        """The object at a path of the API server. For who asks often: a start of kubectl costs a tenth of a second of
        a core. Raises CommandFailed."""
        return control_plane.read(self.root, ports.load(self._ports_file)["kube-apiserver"], path)

    def helm(self, *arguments: str) -> str:
        """Output of helm. Raises CommandFailed with what it said."""
        return self._client("helm", arguments)

    def temporal(self, *arguments: str) -> str:
        """Output of the temporal client. Raises CommandFailed with what it said."""
        return self._client("temporal", arguments)

    # How

    def _process(self, name: str) -> DetachedProcess:
        return DetachedProcess(self.root, name)

    @property
    def _ports_file(self) -> Path:
        return self.root / "ports.json"

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._thread_lock:
            if self._locked:  # by a method that calls this one
                yield
                return
            waiting = f"another command is working on {self.root}, waiting for it"
            with exclusive(self.root / "lock", on_wait=lambda: self._say(waiting)):
                self._locked = True
                try:
                    yield
                finally:
                    self._locked = False

    @contextmanager
    def _stopping_on_failure(self, keep: bool) -> Iterator[list[str]]:
        started: list[str] = []
        try:
            yield started
        except BaseException:
            if not keep:
                for name in reversed(started):
                    self._stop(name)
            raise

    def _start(self, names: Sequence[str], started: list[str]) -> None:
        if not names:
            return
        self._settle_ports()
        services = {name: self._service(name) for name in names}
        # All at once: the API server waits for its etcd by itself.
        for name, service in services.items():
            if self._process(name).pid() is None:
                self._spawn(name, service, started)
        for name, service in services.items():
            if name not in started:
                self._revive(name, service, started)
            self._process(name).wait_until_answering(service, service.start_seconds)
            if name in started:
                self._say(f"{name}: started, {self._address(name)}")
        self._write_client_files()

    def _spawn(self, name: str, service: Service, started: list[str]) -> None:
        service.prepare()
        started.append(name)
        self._process(name).spawn(service)

    def _revive(self, name: str, service: Service, started: list[str]) -> None:
        process = self._process(name)
        try:
            process.wait_until_answering(service, _RECOVERY_SECONDS)
        except StartFailed:
            self._say(f"{name}: runs but does not answer, starting it again")
            process.stop(_RECOVERY_SECONDS)
            self._spawn(name, service, started)

    def _stop(self, name: str, within_seconds: float = _STOP_SECONDS) -> None:
        if self._process(name).stop(within_seconds):
            self._say(f"{name}: stopped")

    def _settle_ports(self) -> None:
        known = ports.load(self._ports_file)
        if all(self.pid(name) is None for name in KNOWN):
            known = {name: port for name, port in known.items() if ports.is_free(port)}
        self.root.mkdir(parents=True, exist_ok=True)
        names = _PORTS if self.credentials is None else (*_PORTS, *secured_temporal.PORTS)
        ports.save(self._ports_file, ports.choose(names, keep=known))

    def _service(self, name: str) -> Service:
        base = self._base_environment(name)
        keys = encryption.variables(self.root) if name in PLATFORM else {}
        extra = {**keys, **self._environment.get(name, {})}
        known = ports.load(self._ports_file)
        match name:
            case "etcd":
                return control_plane.etcd(self._program(name), self.root, known, {**base, **extra})
            case "kube-apiserver":
                return control_plane.kube_apiserver(
                    self._program(name),
                    self.root,
                    known,
                    {**base, **extra},
                    users=self._users,
                    audit=self._audit,
                )
            case "temporal":
                return self._temporal_service(known, {**base, **extra})
            case "operator":
                return platform.operator(self.root, known, base, extra, self.kubectl, self._say, ui=self._ui)
            case "worker":
                return platform.worker(self.root, known, base, extra)
            case "shipping-worker":
                return platform.shipping_worker(self.root, known, base, extra)
            case "nexus-worker":
                return platform.nexus_worker(self.root, known, base, extra, self.temporal)
            case "codec-server":
                return encryption.codec_server(self.root, known, {**base, **extra})
            case "prometheus":
                return self._prometheus(known, {**base, **extra})
        raise AssertionError(name)

    def _base_environment(self, name: str) -> dict[str, str]:
        shown = self.credentials.variables() if self.credentials is not None and name in PLATFORM else {}
        return {**environment.for_processes(self.root), **shown}

    def _temporal_service(self, known: Mapping[str, int], variables: Mapping[str, str]) -> Service:
        client = self._program("temporal")
        if self.credentials is None:
            return temporal_server.temporal(client, self.root, known, variables, ui=self._ui)
        server = self._program("temporal-server")
        return secured_temporal.temporal(server, client, self.root, known, variables, self.credentials)

    def _prometheus(self, known: Mapping[str, int], variables: Mapping[str, str]) -> Service:
        found = prometheus.program()
        if found is None:
            raise DevstackError("Prometheus was not found: apt-get install prometheus")
        return prometheus.prometheus(found, self.root, known, variables, PLATFORM, self._alerts)

    def _alerts(self) -> str:
        chart = str(platform.CHARTS / "order-platform")
        show = ("--show-only", "templates/monitoring/alerts.yaml", "--set", "monitoring.renderMode=alwaysRender")
        return self.helm("template", "order-platform", chart, "--namespace", platform.NAMESPACE, *show)

    def _address(self, name: str) -> str:
        addresses = self.addresses
        return addresses.get(name) or addresses.get(f"{name}-metrics", "")

    def _program(self, name: str) -> Path:
        """The program by way of a link in bin/, which the env file puts on PATH."""
        if name not in self._programs:
            link = self.root / "bin" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            unfinished = link.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            unfinished.symlink_to(servers.obtain([name])[name])
            unfinished.replace(link)
            self._programs[name] = link
        return self._programs[name]

    def _write_client_files(self) -> None:
        known = ports.load(self._ports_file)
        if control_plane.has_certificate(self.root):
            _write(self.kubeconfig, control_plane.kubeconfig(self.root, known["kube-apiserver"]))
        addresses = self.addresses
        variables = {
            **self._client_variables(),
            "ORDER_OPERATOR_METRICS": addresses["operator-metrics"],
            "ORDER_WORKER_METRICS": addresses["worker-metrics"],
            **platform.ledger_variables(self.root),
            **({"TEMPORAL_UI": addresses["temporal-ui"]} if self._ui else {}),
        }
        folders = [self.root / "bin", Path(sys.executable).parent]
        _write(self.root / "env", environment.shell_file(variables, folders))

    def _client_variables(self) -> dict[str, str]:
        address = self.addresses.get("temporal")
        if address is None:
            raise DevstackError(f"no stack was ever started in {self.root}.")
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "TEMPORAL_ADDRESS": address,
            "TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
            **(self.credentials.administrator() if self.credentials is not None else {}),
            **environment.isolation(self.root),
        }

    def _client(self, tool: str, arguments: Sequence[str], text: str | None = None) -> str:
        done = subprocess.run(
            [self._program(tool), *arguments],
            env={**environment.for_processes(self.root), **self._client_variables()},
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"{tool} {' '.join(arguments)}", done.returncode, done.stdout, done.stderr)
        return done.stdout


def _check(names: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(KNOWN)):
        raise DevstackError(f"no process is called {', '.join(unknown)}; there are {', '.join(KNOWN)}.")


def _write(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)  # tokens
    unfinished.write_text(text)
    unfinished.replace(file)
