"""Credentials that are replaced in their files, as a kubelet replaces them, are taken over by what runs."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from temporalio.client import Client

from order_devstack.certificates import Authority
from order_process import temporal_access
from order_process.credential_expiry import CREDENTIALS
from order_process.temporal_access import Access
from order_process.temporal_rotation import Rotation

AUTHORITY = Authority.create("a private one")


class FakeClient:
    """Of the SDK, as far as rotation touches it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.api_key = access.api_key
        self.rpc_metadata: Mapping[str, str] = access.headers


class Mounted:
    """A projected volume: files are links into a directory that `..data` points to, and that is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._files: dict[str, bytes] = {}
        self.put(**{"ca.crt": AUTHORITY.certificate, "api-key": b"one"})
        self.certify()

    def put(self, **files: bytes | None) -> None:
        """Replace some; None takes a file away."""
        self._files.update({name: content for name, content in files.items() if content is not None})
        for name in [name for name, content in files.items() if content is None]:
            del self._files[name]
        self._count += 1
        fresh = self.folder / f"..{self._count}"
        fresh.mkdir()
        for name, content in self._files.items():
            (fresh / name).write_bytes(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        unfinished = self.folder / "..data_tmp"
        unfinished.symlink_to(fresh.name)
        unfinished.replace(self.folder / "..data")

    def certify(self) -> None:
        signed = AUTHORITY.sign("client")
        self.put(**{"tls.crt": signed.certificate, "tls.key": signed.key})

    @property
    def variables(self) -> dict[str, str]:
        return {
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.folder / "ca.crt"),
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(self.folder / "tls.crt"),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(self.folder / "tls.key"),
            "TEMPORAL_API_KEY_FILE": str(self.folder / "api-key"),
        }


class Program:
    """Holds a client, as operator and worker do."""

    def __init__(self, mounted: Mounted) -> None:
        access = temporal_access.read(mounted.variables)
        self.client = FakeClient(access)
        self.made = 0
        self.away: str | None = None
        self.rotation = Rotation(mounted.variables, access, self._connect, self._replace)

    async def _connect(self, access: Access) -> Client:
        if self.away is not None:
            raise RuntimeError(f"Failed client connect: {self.away}")
        self.made += 1
        return cast("Client", FakeClient(access))

    def _replace(self, client: Client) -> None:
        self.client = cast("FakeClient", client)

    async def look(self) -> None:
        await self.rotation.look(cast("Client", self.client))


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


@pytest.fixture
def program(mounted: Mounted) -> Program:
    return Program(mounted)


async def test_while_it_watches_it_tells_when_what_is_in_place_ends(mounted: Mounted, program: Program) -> None:
    told: dict[str, int] = {}
    told_of_all = asyncio.Event()

    def tell(credential: str, ends: int) -> None:
        told[credential] = ends
        if len(told) == len(CREDENTIALS):
            told_of_all.set()

    program.rotation.tell_end = tell
    watching = asyncio.create_task(program.rotation.watch(lambda: cast("Client", program.client)))
    async with asyncio.timeout(10):
        await told_of_all.wait()
    watching.cancel()

    assert told["certificate"] > time.time()
    assert told["api_key"] == 0, "it is no token"


async def test_what_stays_as_it_is_changes_nothing(program: Program) -> None:
    before = program.client

    await program.look()

    assert (program.client, program.made) == (before, 0)


async def test_another_key_is_put_into_the_client_that_there_is(mounted: Mounted, program: Program) -> None:
    before = program.client
    mounted.put(**{"api-key": b"two\n"})

    await program.look()

    assert program.client is before
    assert (before.api_key, program.made) == ("two", 0)


async def test_a_key_that_is_taken_away_is_taken_from_the_client(mounted: Mounted, program: Program) -> None:
    mounted.put(**{"api-key": None})

    await program.look()

    assert program.client.api_key is None
    assert program.rotation.problem is not None
    assert "there is no API key" in program.rotation.problem

    mounted.put(**{"api-key": b"two"})
    await program.look()

    assert (program.client.api_key, program.rotation.problem) == ("two", None)


async def test_another_certificate_makes_another_client_with_the_key_of_now(mounted: Mounted, program: Program) -> None:
    before = program.client
    mounted.certify()
    mounted.put(**{"api-key": b"two"})

    await program.look()

    assert program.client is not before
    assert (program.client.api_key, program.made) == ("two", 1)


async def test_a_certificate_with_which_temporal_is_not_reached_replaces_nothing_and_is_tried_again(
    mounted: Mounted, program: Program
) -> None:
    before = program.client
    program.away = "connection closed"
    mounted.certify()

    await program.look()

    assert program.client is before
    assert program.rotation.problem is not None
    assert program.rotation.problem.startswith("the newest certificate or address for Temporal is not used")

    program.away = None
    await program.look()

    assert program.client is not before
    assert program.rotation.problem is None


async def test_a_temporal_that_is_away_is_no_fault_of_the_certificate(mounted: Mounted, program: Program) -> None:
    program.away = "tcp connect error"
    mounted.certify()

    await program.look()

    assert (program.made, program.rotation.problem) == (0, None)


async def test_files_that_cannot_be_used_leave_the_client_alone_and_are_told_once(
    mounted: Mounted, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    before = program.client
    mounted.put(**{"tls.key": b"hello"})

    await program.look()
    await program.look()

    assert program.client is before
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in told] == ["TEMPORAL_TLS_CLIENT_KEY_PATH: that is no private key in PEM"]

    mounted.certify()
    await program.look()

    assert program.client is not before


async def test_what_is_taken_over_is_told_to_who_asked(mounted: Mounted, program: Program) -> None:
    heard: list[str] = []
    program.rotation.changed = lambda: heard.append("changed")
    mounted.put(**{"api-key": b"two"})

    await program.look()
    await program.look()

    assert heard == ["changed"]


async def test_another_namespace_takes_a_restart_and_says_so(mounted: Mounted) -> None:
    profile = mounted.folder / "profile.toml"
    profile.write_text('[profile.default]\nnamespace = "shop"\n')
    variables = {**mounted.variables, "TEMPORAL_CONFIG_FILE": str(profile)}
    access = temporal_access.read(variables)
    client = FakeClient(access)

    async def connect(_: Access) -> Client:
        raise AssertionError

    rotation = Rotation(variables, access, connect, lambda _: None)
    profile.write_text('[profile.default]\nnamespace = "other"\n')
    await rotation.look(cast("Client", client))

    assert rotation.problem == "the namespace in Temporal's profile has changed: that takes a restart"
