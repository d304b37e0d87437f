"""Which versions of other people's programs are tried."""

from pathlib import Path

import pytest

from order_devstack import matrix, servers

ROOT = Path(__file__).resolve().parents[3]


def test_another_version_is_built_of_the_module_beside_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_DEVSTACK_VERSIONS", "kubernetes-1.32,temporal-1.29")

    modules = {name: servers.module_of(servers.TOOLS[name]).name for name in ("kube-apiserver", "temporal", "etcd")}

    assert modules == {"kube-apiserver": "kubernetes-1.32", "temporal": "temporal-1.29", "etcd": "etcd"}


def test_without_a_choice_the_usual_version_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDER_DEVSTACK_VERSIONS", raising=False)

    assert servers.module_of(servers.TOOLS["kube-apiserver"]).name == "kubernetes"


@pytest.mark.parametrize("name", matrix.ROWS)
def test_a_row_has_its_modules_and_tests(name: str) -> None:
    row = matrix.ROWS[name]

    assert all((servers.MODULES / module / "go.sum").exists() for module in row.modules.split(",") if module)
    assert [test for test in row.tests if "/" in test and not (ROOT / test).exists()] == []


def test_the_versions_that_are_tried_are_those_that_the_docs_promise() -> None:
    page = (ROOT / "docs" / "releases.md").read_text()

    assert [name for name in matrix.ROWS if f"`{name}`" not in page] == []
