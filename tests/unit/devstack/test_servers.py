from collections.abc import Callable
from pathlib import Path

import pytest

from order_devstack import go, servers
from order_devstack.command_line import main
from order_devstack.errors import DevstackError

GO_MOD = """module order-platform.dev/devstack/servers/kubernetes

go 1.26.4

require (
\tk8s.io/kube-openapi v0.0.0-20260127142750-a19766b6e2d4 // indirect
\tk8s.io/kubernetes v1.36.3 // indirect
)

replace k8s.io/api => k8s.io/api v0.36.3
"""
ANSWERS = {
    "etcd": "etcd Version: 3.6.16\nGit SHA: Not provided\nGo Version: go1.26.8\n",
    "kubectl": "Client Version: v1.36.3\nKustomize Version: v5.8.1\n",
    "kube-apiserver": "Kubernetes v1.36.3\n",
    "helm": "v4.3.1\n",
    "temporal": "temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)\n",
    "toxiproxy-server": "toxiproxy-server version 2.12.0\n",
    **dict.fromkeys(("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"), "Kubernetes v1.36.3\n"),
    "coredns": "CoreDNS-1.15.0\nlinux/amd64, go1.26.8, \n",
    "temporal-server": "temporal version 1.32.0\n",
    "temporal-sql-tool": "temporal-sql-tool version 1.32.0\n",
    "metrics-server": "v0.9.0\n",
    "crane": "v0.22.1\n",
}


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script on an otherwise empty PATH; the cache is empty, too."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("ORDER_DEVSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    def put(name: str, output: str) -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\nprintf '%s' '{output}'\n")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text(GO_MOD)
    (tmp_path / "go.sum").write_text("k8s.io/kubernetes v1.36.3 h1:abc=\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26", (1, 26, 0)), ("go1.26.8", (1, 26, 8)), ("go1.27rc1", (1, 27, 0)), ("v4.3.1+g15c1", (4, 3, 1))],
)
def test_versions_are_read_from_what_programs_print(text: str, version: tuple[int, int, int]) -> None:
    assert go.parse_version(text) == version


def test_text_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no version"):
        go.parse_version("command not found")


def test_the_pin_is_read_from_a_block_of_requirements() -> None:
    assert servers.pinned_version(GO_MOD, "k8s.io/kubernetes") == "1.36.3"


def test_the_pin_is_read_from_a_single_requirement() -> None:
    assert servers.pinned_version("require helm.sh/helm/v4 v4.3.1\n", "helm.sh/helm/v4") == "4.3.1"


def test_a_replacement_is_no_pin() -> None:
    with pytest.raises(ValueError, match="does not require"):
        servers.pinned_version(GO_MOD, "k8s.io/api")


def test_the_needed_go_is_read_from_the_module() -> None:
    assert go.required_by(GO_MOD) == "1.26.4"


@pytest.mark.parametrize("name", [name for name, tool in servers.TOOLS.items() if tool.version_arguments])
def test_what_each_pinned_program_prints_fits(name: str) -> None:
    tool = servers.TOOLS[name]
    pinned = servers.pinned_version((servers.MODULES / tool.folder / "go.mod").read_text(), tool.module)

    assert servers.fits(tool, ANSWERS[name], pinned)


@pytest.mark.parametrize(
    ("name", "answer", "fits"),
    [
        ("kubectl", "Client Version: v1.36.1\n", True),
        ("kubectl", "Client Version: v1.35.3\n", False),
        ("kube-apiserver", "Kubernetes v1.37.0\n", False),
        ("etcd", "etcd Version: 3.6.15\nGo Version: go1.36.3\n", False),
        ("helm", "", False),
    ],
)
def test_only_kubernetes_may_differ_and_only_in_the_patch(name: str, answer: str, fits: bool) -> None:
    pinned = {"etcd": "3.6.16", "helm": "4.3.1"}.get(name, "1.36.3")

    assert servers.fits(servers.TOOLS[name], answer, pinned) is fits


def test_equal_modules_and_go_share_a_cache_entry(module: Path) -> None:
    tool = servers.TOOLS["kubectl"]

    assert servers.cache_key(tool, module, "go1.26.8") == servers.cache_key(tool, module, "go1.26.8")


@pytest.mark.parametrize("change", ["go.mod", "go.sum"])
def test_a_changed_module_file_is_another_cache_entry(module: Path, change: str) -> None:
    tool = servers.TOOLS["kubectl"]
    before = servers.cache_key(tool, module, "go1.26.8")
    with (module / change).open("a") as file:
        file.write("\n")

    assert servers.cache_key(tool, module, "go1.26.8") != before


def test_another_go_is_another_cache_entry(module: Path) -> None:
    tool = servers.TOOLS["kubectl"]

    assert servers.cache_key(tool, module, "go1.26.8") != servers.cache_key(tool, module, "go1.26.9")


def test_the_cache_entry_shows_program_and_version(module: Path) -> None:
    assert servers.cache_key(servers.TOOLS["kubectl"], module, "go1.26.8").startswith("kubectl-1.36.3-")


def test_the_cache_is_the_users_unless_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ORDER_DEVSTACK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert servers.cache_directory() == tmp_path / "order-platform" / "servers"

    monkeypatch.setenv("ORDER_DEVSTACK_CACHE", str(tmp_path / "mine"))
    assert servers.cache_directory() == tmp_path / "mine"


def test_a_fitting_program_on_path_is_used(on_path: Callable[[str, str], Path]) -> None:
    program = on_path("etcd", ANSWERS["etcd"])

    assert servers.obtain(["etcd"]) == {"etcd": program}


def test_kubebuilder_assets_come_before_path(
    on_path: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    on_path("etcd", ANSWERS["etcd"]).rename(assets / "etcd")
    on_path("etcd", ANSWERS["etcd"])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    assert servers.obtain(["etcd"]) == {"etcd": assets / "etcd"}


def test_a_program_of_the_cache_found_on_path_does_not_bypass_its_key(
    on_path: Callable[[str, str], Path], tmp_path: Path
) -> None:
    cached = tmp_path / "cache" / "etcd-of-an-old-key" / "etcd"
    cached.parent.mkdir(parents=True)
    link = on_path("etcd", ANSWERS["etcd"])
    link.rename(cached)
    link.symlink_to(cached)

    with pytest.raises(DevstackError, match="Go is needed"):
        servers.obtain(["etcd"])


@pytest.mark.usefixtures("on_path")
def test_without_go_one_sentence_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obtain"]) == 1

    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "Go is needed to build the servers and was not found: install Go 1.26.8 or newer" in error


def test_an_old_go_is_told_apart_from_a_missing_one(
    on_path: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    on_path("go", "go1.25.7")

    assert main(["obtain"]) == 1
    assert "Go 1.25.7 is too old to build the servers: install Go 1.26.8 or newer" in capsys.readouterr().err


def test_an_unfitting_program_on_path_is_not_used(on_path: Callable[[str, str], Path]) -> None:
    on_path("etcd", "etcd Version: 3.5.9\n")

    with pytest.raises(DevstackError, match="Go is needed"):
        servers.obtain(["etcd"])


def test_an_unknown_process_is_named_in_the_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--dir", str(tmp_path), "up", "etcdd"]) == 1
    assert "no process is called etcdd" in capsys.readouterr().err
