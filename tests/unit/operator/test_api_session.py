"""How the operator's own requests reach the API server."""

import asyncio
from pathlib import Path

import pytest
import yaml
from kubernetes.aio import client
from kubernetes.aio.config import kube_config

from order_operator import __main__ as operator


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kubeconfig, no proxy, and afterwards the configuration as it was."""
    cluster, user = {"server": "https://127.0.0.1:1"}, {"token": "one"}
    file = tmp_path / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                "clusters": [{"name": "it", "cluster": cluster}],
                "users": [{"name": "it", "user": user}],
            }
        )
    )
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    monkeypatch.setattr(client.Configuration, "_default", None)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def _trusts_the_environment() -> bool:
    await operator._log_in()
    async with client.ApiClient() as api, api.rest_client._create_pool_manager() as session:
        return bool(session.trust_env)


def test_no_request_reads_files_and_looks_for_a_proxy_where_none_is_named() -> None:
    """Both cost more than the request."""
    assert not asyncio.run(_trusts_the_environment())


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:2")

    assert asyncio.run(_trusts_the_environment())
