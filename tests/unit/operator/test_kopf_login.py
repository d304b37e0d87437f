"""kopf's session: what the API server answered is told, and credentials that it refused are tried once."""

from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from order_operator import kopf_login


def a_kubeconfig(folder: Path, server: str, token: str) -> Path:
    file = folder / "kubeconfig"
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    content = {
        "current-context": "it",
        "contexts": [context],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": token}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def arguments() -> dict[str, Any]:
    return {"settings": kopf.OperatorSettings()}


async def test_every_answer_is_told_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403)

    application = web.Application()
    application.router.add_get("/apis/orders", refuse)
    answered: list[tuple[str, bool]] = []
    async with TestServer(application) as server:
        monkeypatch.setenv("KUBECONFIG", str(a_kubeconfig(tmp_path, str(server.make_url("/")), "one")))
        made = await kopf_login.login(lambda path, *, watch: answered.append((path, watch)))(**arguments)
        assert made is not None
        async with made.aiohttp_session as session, session.get(f"{made.server}apis/orders?watch=true"):
            assert answered == [("/apis/orders", True)]
        assert session.headers["Authorization"] == "Bearer one"


async def test_credentials_that_were_refused_are_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    """kopf tells by the session whether they are new."""
    log_in = kopf_login.login(lambda _: None)
    monkeypatch.setenv("KUBECONFIG", str(a_kubeconfig(tmp_path, "http://localhost", "one")))
    first, again = await log_in(**arguments), await log_in(**arguments)
    a_kubeconfig(tmp_path, "http://localhost", "two")
    renewed = await log_in(**arguments)

    assert first is not None
    assert renewed is not None
    assert first is again
    assert renewed is not first
    for made in (first, renewed):
        await made.aiohttp_session.close()


async def test_without_credentials_kopf_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert await kopf_login.login(lambda _: None)(**arguments) is None
