"""Builds a pinned Go program from a module directory."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO

from order_devstack.errors import DevstackError

# Without a terminal a build of minutes must still show that it is alive, yet not flood a CI log.
_SECONDS_BETWEEN_LINES = 15.0
_LINES_OF_OUTPUT_SHOWN = 20


def parse_version(text: str) -> tuple[int, int, int]:
    """The first version number in `text`; `go1.26` counts as 1.26.0. Raises ValueError if there is none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        raise ValueError(f"no version number in {text!r}")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def required_by(go_mod: str) -> str:
    """The Go version that the text of a go.mod asks for."""
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError("go.mod without a go line")
    return found[1]


def toolchain(at_least: str) -> str:
    """Version of the installed Go, as in `go1.26.8`. Raises DevstackError if it is missing or older than needed."""
    advice = f"install Go {at_least} or newer (https://go.dev/dl) and put it on PATH"
    go = shutil.which("go")
    if go is None:
        raise DevstackError(f"Go is needed to build the servers and was not found: {advice}.")
    asked = _version_of(go)
    try:
        found = parse_version(asked.stdout)
    except ValueError:
        raise DevstackError(f"`{go} env GOVERSION` failed ({asked.stderr.strip()}): {advice}.") from None
    if found < parse_version(at_least):
        raise DevstackError(f"Go {asked.stdout.strip().removeprefix('go')} is too old to build the servers: {advice}.")
    return asked.stdout.strip()


@cache
def _version_of(go: str) -> subprocess.CompletedProcess[str]:
    """Its answer; asked for every program of every stack."""
    return subprocess.run([go, "env", "GOVERSION"], env=_environment(), capture_output=True, text=True, check=False)


def build(module: Path, package: str, *, ldflags: Sequence[str], output: Path, log: Path, out: TextIO) -> None:
    """Build `package` as the go.mod in `module` pins it. Raises DevstackError with the end of go's output.

    Interrupted, it stops the compiler before it lets the interruption pass.
    """
    command = ["go", "build", "-trimpath", "-ldflags", " ".join(ldflags), "-o", str(output), package]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            command,
            cwd=module,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            process_group=0,  # so that an interruption can reach the compilers that go started
        )
        try:
            _wait(process, output.name, out)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_OF_OUTPUT_SHOWN:])
        raise DevstackError(f"building {output.name} failed; the whole output is in {log}:\n{tail}")


def source(module: Path, required: str) -> Path:
    """The folder of the module `required`, as the go.mod in `module` pins it. Raises DevstackError."""
    command = ["go", "mod", "download", "-json", required]
    done = subprocess.run(command, cwd=module, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevstackError(f"`{' '.join(command)}` failed: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _wait(process: subprocess.Popen[bytes], name: str, out: TextIO) -> None:
    began = time.monotonic()
    in_place = out.isatty()
    next_line = 0.0
    while True:
        elapsed = time.monotonic() - began
        if in_place:
            print(f"\r{name}: building, {elapsed:.0f} s ", end="", file=out, flush=True)
        elif elapsed >= next_line:
            print(f"{name}: building, {elapsed:.0f} s", file=out, flush=True)
            next_line += _SECONDS_BETWEEN_LINES
        try:
            process.wait(timeout=1.0 if elapsed > 1.0 else 0.1)
        except subprocess.TimeoutExpired:
            continue
        if in_place:
            print("\r\033[K", end="", file=out, flush=True)
        return


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",  # the key of the cache names the Go version, so go must not pick another one
        "GOWORK": "off",
    }
