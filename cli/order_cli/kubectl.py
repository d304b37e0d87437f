"""Calls of `kubectl`, which brings kubeconfig, credentials and access rights along: the only way to the cluster."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from order_cli.flags import Flags
from order_cli.problems import CommandError, KindMissing, NotAllowed, NotFound
from order_cli.vocabulary import ORDERS

Json = dict[str, Any]

_REFUSED_BY_POLICY = re.compile(r"ValidatingAdmissionPolicy '.*' with binding '.*' denied request: (.*)", re.DOTALL)
_FORBIDDEN = re.compile(
    r'User "(?P<user>.*)" cannot (?P<verb>\S+) resource "(?P<what>\S+)" '
    r'.*?(?:in the namespace "(?P<where>.*)"|at the cluster scope)'
)
_SERVER = re.compile(r"^Error from server(?: \((\w+)\))?: (?:error when [^\n]*?: )?(.*)", re.DOTALL)
_LOG_LINE = re.compile(r"^[EWI]\d{4} ")
_ROLE_FOR = {"get": "viewer", "list": "viewer", "watch": "viewer", "create": "editor", "patch": "editor or approver"}


class Kubectl:
    """kubectl, with the flags that the caller gave."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self._program = shutil.which("kubectl")
        self._begun: dict[tuple[str, ...], subprocess.Popen[str]] = {}
        self.given_up = threading.Event()
        """Set once the command has ended: what other threads have not begun by then, they do not begin."""

    def begin(self, *arguments: str, namespace: str | None = None) -> None:
        """Start a call whose answer will be asked for: Python imports meanwhile, which takes as long."""
        command = self._command(arguments, namespace)
        pipe = subprocess.PIPE
        self._begun[tuple(command)] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )

    def end(self) -> None:
        """Give up what was begun and never asked for."""
        self.given_up.set()
        while self._begun:
            _, process = self._begun.popitem()
            process.kill()
            process.communicate()

    def run(self, *arguments: str, namespace: str | None = None, text: str | None = None) -> str:
        """Its output. Raises CommandError, as a sentence, where it fails."""
        command = self._command(arguments, namespace)
        begun = self._begun.pop(tuple(command), None)
        if begun is not None:
            out, error = begun.communicate()
            code = begun.returncode
        else:
            done = subprocess.run(command, input=text or "", capture_output=True, text=True, check=False)
            out, error, code = done.stdout, done.stderr, done.returncode
        if code != 0:
            raise problem(error or out)
        return out

    def json(self, *arguments: str, namespace: str | None = None, text: str | None = None) -> Json:
        """The one object that it answers with."""
        found = self.objects(*arguments, namespace=namespace, text=text)
        return found[0] if found else {}

    def objects(self, *arguments: str, namespace: str | None = None, text: str | None = None) -> list[Json]:
        """All objects that it answers with, one after the other."""
        return decoded(self.run(*arguments, "--output=json", namespace=namespace, text=text))

    def order(self, name: str, namespace: str | None = None) -> Json:
        """One order; of the caller's namespace where none is named."""
        try:
            return self.json("get", ORDERS, name, namespace=namespace or self.flags.namespace)
        except NotFound as missing:
            if "not found" not in str(missing):
                raise
            where = namespace or self.flags.namespace
            raise NotFound(f"there is no order {name}{f' in {where}' if where else ''}") from None

    def orders(self, *fields: str) -> list[Json]:
        """All orders that the caller's flags select, and these field selectors as well."""
        return list(self.json("get", ORDERS, *self.selection(*fields)).get("items", []))

    def selection(self, *fields: str) -> list[str]:
        """The flags that select orders."""
        flags, chosen = self.flags, []
        if flags.all_namespaces:
            chosen.append("--all-namespaces")
        elif flags.namespace:
            chosen.append(f"--namespace={flags.namespace}")
        if flags.selector:
            chosen.append(f"--selector={flags.selector}")
        if selectors := ",".join(filter(None, (flags.field_selector, *fields))):
            chosen.append(f"--field-selector={selectors}")
        return chosen

    def watch(self, *arguments: str, namespace: str | None = None) -> "Watch":
        """Follows what `kubectl get` with these arguments shows: first what there is, then each change."""
        return Watch(self._command(("get", *arguments, "--watch", "--output-watch-events", "--output=json"), namespace))

    def _command(self, arguments: Sequence[str], namespace: str | None) -> list[str]:
        if self._program is None:
            raise CommandError("there is no kubectl on PATH: kubernetes.io/docs/tasks/tools says how to install it")
        scope = [f"--namespace={namespace}"] if namespace else []
        return [self._program, *arguments, *scope, *self.flags.connection]


class Watch:
    """The events of one call, until the API server ends it. Used in a `with`, it leaves no kubectl behind."""

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        with self._process:  # closes what it writes to, and waits for its end
            pass

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        """Kind (`ADDED`, `MODIFIED`, `DELETED`) and object. Raises CommandError where kubectl fails."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:  # cut off by its end
                break
            yield str(event["type"]), event["object"]
        said = self._process.stderr.read()
        if self._process.wait() > 0:
            raise problem(said)

    def stop(self) -> None:
        """Ends kubectl, and with it the iteration; from any thread."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()


def decoded(text: str) -> list[Json]:
    """The JSON objects of a text that holds one after the other."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while (start := text.find("{", position)) >= 0:
        value, position = decoder.raw_decode(text, start)
        found.append(value)
    return found


def problem(said: str) -> CommandError:
    """What kubectl complains about, as one sentence with its exit code."""
    lines = [line for line in said.strip().splitlines() if line and not _LOG_LINE.match(line)]
    text = "\n".join(line for line in lines if not line.startswith("Warning: ")) or "kubectl failed without a word"
    if found := _SERVER.match(text):
        kind, message = found[1], found[2]
        if kind == "NotFound":
            return NotFound(_one_line(message))
        if kind in ("Forbidden", "Unauthorized"):
            return NotAllowed(_refusal(message))
        return CommandError(_one_line(message))
    if "doesn't have a resource type" in text:
        return KindMissing("this cluster has no kind Order: install the chart order-platform-crds")
    if _ANOTHER_UID.search(text):
        return CommandError(ANOTHER_ORDER)
    if found := re.match(r"The \w+ \"(.*?)\" is invalid: (.*)", text, re.DOTALL):
        return CommandError(f"{found[1]}: {_one_line(re.sub(r'Invalid value: ', '', found[2]))}")
    return CommandError(_one_line(text.removeprefix("error: ")))


ANOTHER_ORDER = (
    "nothing was done: the order was deleted since you looked at it, and another one has its name, or its lines were "
    "changed; look at it again"
)
_ANOTHER_UID = re.compile(
    r"metadata\.uid: Invalid value: .*field is immutable|server rejected our request due to an error in our request"
    r"|Precondition failed: UID",
    re.DOTALL,
)
"""The API server's answer to a patch of an order that has another uid, or where a `test` of a JSON patch fails: kubectl
does not tell of which."""


def _refusal(message: str) -> str:
    if found := _REFUSED_BY_POLICY.search(message):
        return _one_line(found[1])
    if found := _FORBIDDEN.search(message):
        where = f"in {found['where']}" if found["where"] else "in all namespaces"
        role = _ROLE_FOR.get(found["verb"])
        ask = f": ask for the role {role} of the chart order-platform" if role and found["what"] == "orders" else ""
        return f"{found['user']} may not {found['verb']} {found['what']} {where}{ask}"
    return _one_line(message)


def _one_line(message: str) -> str:
    return "; ".join(part.strip().removeprefix("* ") for part in message.strip().splitlines() if part.strip())
