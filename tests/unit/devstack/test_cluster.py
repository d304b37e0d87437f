"""The cluster where none runs; tests/cluster has one that does."""

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from order_devstack import servers
from order_devstack.cluster import cluster, container_runtime, debian, machine
from order_devstack.cluster.host_services import host_service
from order_devstack.cluster.program_image import docker_archive
from order_devstack.command_line import main


def test_a_command_for_a_cluster_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dir", str(tmp_path), "cluster", "exec", "--", "kubectl", "get", "pods"]) == 1
    assert "no cluster runs" in (error := capsys.readouterr().err)
    assert "make cluster-up" in error


def test_status_of_no_cluster_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dir", str(tmp_path), "cluster", "status"]) == 3
    assert "stopped" in capsys.readouterr().out


def test_missing_programs_are_told_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(debian, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(debian, "CNI_FOLDERS", ())

    missing = debian.missing(images=False)

    assert {"containerd", "runc", "containernetworking-plugins", "iptables"} <= set(missing)
    assert "buildah" not in missing
    assert "buildah" in debian.missing(images=True)


def test_a_node_has_every_program_that_it_starts() -> None:
    """Temporal's server was obtained for the tests alone, and no node started."""
    source = "".join(file.read_text() for file in Path(cluster.__file__).parent.glob("*.py") if file.stem != "keda")
    started = set(re.findall(r'programs / "([a-z-]+)"', source)) & set(servers.TOOLS)

    assert {"kubelet", "temporal-server"} <= started
    assert started - set(servers.names_for(servers.Use.STACK, servers.Use.CLUSTER)) == set()


def test_a_service_leads_to_the_node() -> None:
    service, endpoints = host_service("infra", "temporal", {"frontend": ("TCP", 7233)})

    assert "selector" not in service["spec"]
    assert endpoints["metadata"]["labels"] == {"kubernetes.io/service-name": "temporal"}
    assert endpoints["ports"] == service["spec"]["ports"] == [{"name": "frontend", "protocol": "TCP", "port": 7233}]
    assert json.dumps([service, endpoints])


def test_an_image_of_one_program_runs_it_by_its_name() -> None:
    with tarfile.open(fileobj=io.BytesIO(docker_archive("localhost/one:1", "one", b"program"))) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    [manifest] = json.loads(files["manifest.json"])
    configuration = json.loads(files[manifest["Config"]])

    assert manifest["RepoTags"] == ["localhost/one:1"]
    assert configuration["config"] == {"Entrypoint": ["/one"], "Env": ["PATH=/", "HOME=/", "USER=root"]}
    [layer] = manifest["Layers"]
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(files[layer]).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(files[layer])) as content:
        [program] = content.getmembers()
    assert (program.name, program.mode) == ("one", 0o755)


def test_a_container_is_killed_by_the_id_that_its_pods_status_shows() -> None:
    command = container_runtime.kill_container("containerd://0123abc")

    assert command[-1] == "0123abc"
    assert "SIGKILL" in command


def test_a_machine_without_what_a_node_needs_says_in_one_sentence_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debian, "check", lambda **_: None)
    monkeypatch.setattr(machine, "_LEAST_MEMORY_BYTES", 0)
    monkeypatch.setattr(machine, "_NAMESPACES", ())
    monkeypatch.setattr(machine, "_TRIED", {"namespaces": "true", "mounts": "echo Operation not permitted >&2; false"})

    assert main(["--dir", str(tmp_path), "cluster", "check"]) == 1

    assert capsys.readouterr().err == (
        "order_devstack: a node needs mounts, which are refused here: Operation not permitted\n"
    )


def test_who_is_not_root_is_told_so_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)

    assert main(["cluster", "check"]) == 1

    assert "a node needs root" in capsys.readouterr().err
