"""G1: every way to reach Temporal, each at a real server that asks for it, by every program that talks to Temporal."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from order_devstack import environment, ports, servers
from order_devstack.ports import HOST
from order_devstack.processes import DetachedProcess
from order_devstack.secured_temporal import PORTS, SERVER_NAME, Credentials, Demands, temporal


class Server:
    """One Temporal and the credentials that it takes."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = address
        self.credentials = credentials


@contextmanager
def serving(folder: Path, demands: Demands) -> Iterator[Server]:
    programs = servers.obtain(["temporal", "temporal-server"])
    known = ports.choose(("temporal", *PORTS), keep={})
    credentials = Credentials(folder / "credentials")
    variables = environment.for_processes(folder)
    service = temporal(
        programs["temporal-server"], programs["temporal"], folder, known, variables, credentials, demands
    )
    process = DetachedProcess(folder, "temporal")
    service.prepare()
    process.spawn(service)
    try:
        process.wait_until_answering(service, service.start_seconds)
        yield Server(f"{HOST}:{known['temporal']}", credentials)
    finally:
        process.stop(within_seconds=5.0)


@pytest.fixture(scope="module")
def asks_for_nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """But TLS."""
    with serving(tmp_path_factory.mktemp("tls"), Demands(certificate=False, key=False)) as server:
        yield server


@pytest.fixture(scope="module")
def asks_for_a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("mtls"), Demands(key=False)) as server:
        yield server


@pytest.fixture(scope="module")
def asks_for_a_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("key"), Demands(certificate=False)) as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def prepare(server: Server, variables: Mapping[str, str]) -> tuple[int, str]:
    """`order-operator prepare-temporal`, which changes nothing here; its exit code and all it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "order_operator", "prepare-temporal", "--dry-run", "--patience", "0"],
        env={**kept, "TEMPORAL_CONFIG_FILE": os.devnull, "TEMPORAL_ADDRESS": server.address, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


TLS_ONLY = Demands(certificate=False, key=False)


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("asks_for_nothing", TLS_ONLY),
        ("asks_for_a_certificate", Demands(key=False)),
        ("asks_for_a_key", Demands(certificate=False)),
    ],
    indirect=["server"],
)
def test_each_way_in_is_taken_where_the_server_asks_for_it(server: Server, shown: Demands) -> None:
    code, said = prepare(server, server.credentials.variables(demands=shown))

    assert (code, "namespace default: is there" in said) == (0, True), said


@pytest.mark.parametrize(
    ("server", "left_out", "sentence"),
    [
        ("asks_for_nothing", "TEMPORAL_TLS_SERVER_CA_CERT_PATH", "set TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
        ("asks_for_a_certificate", "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH belong together"),
        ("asks_for_a_key", "TEMPORAL_API_KEY_FILE", "Temporal does not allow this: the API key"),
    ],
    indirect=["server"],
)
def test_what_is_left_out_is_named_in_one_line(server: Server, left_out: str, sentence: str) -> None:
    variables = dict(server.credentials.variables(demands=Demands()))
    del variables[left_out]

    code, said = prepare(server, variables)

    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1, said


@pytest.mark.parametrize(
    ("server", "wrong", "sentence"),
    [
        ("asks_for_nothing", {"TEMPORAL_TLS": "false"}, "it asks for TLS"),
        ("asks_for_nothing", {"TEMPORAL_TLS_SERVER_NAME": "another"}, "set TEMPORAL_TLS_SERVER_NAME"),
        ("asks_for_a_key", {"TEMPORAL_API_KEY_FILE": "/nowhere/api-key"}, "/nowhere/api-key, which does not exist"),
    ],
    indirect=["server"],
)
def test_what_is_wrong_is_named_in_one_line(server: Server, wrong: Mapping[str, str], sentence: str) -> None:
    code, said = prepare(server, {**server.credentials.variables(demands=Demands()), **wrong})

    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1, said


def test_a_client_without_a_certificate_is_told_that_the_server_may_ask_for_one(
    asks_for_a_certificate: Server,
) -> None:
    code, said = prepare(asks_for_a_certificate, asks_for_a_certificate.credentials.variables(demands=TLS_ONLY))

    assert code != 0
    assert "TEMPORAL_TLS_CLIENT_CERT_PATH" in said
    assert len(said.strip().splitlines()) == 1, said


def test_a_profile_leads_in_as_well(asks_for_a_certificate: Server, tmp_path: Path) -> None:
    mounted = asks_for_a_certificate.credentials.mounted
    profile = tmp_path / "temporal.toml"
    profile.write_text(
        f"""
        [profile.shop]
        address = "{asks_for_a_certificate.address}"
        [profile.shop.tls]
        server_ca_cert_path = "{mounted / "ca.crt"}"
        server_name = "{SERVER_NAME}"
        client_cert_path = "{mounted / "tls.crt"}"
        client_key_path = "{mounted / "tls.key"}"
        """
    )

    code, said = prepare(asks_for_a_certificate, {"TEMPORAL_CONFIG_FILE": str(profile), "TEMPORAL_PROFILE": "shop"})

    assert code == 0, said
