"""The list by which the watch is checked: metadata only, of everything, page by page."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from order_operator.cluster.api import ApiRefused, KubernetesApi, Listed


def an_item(name: str, version: int) -> dict[str, Any]:
    managed = [{"manager": "somebody", "fieldsV1": {"f:spec": {}}}]
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "managedFields": managed,
        }
    }


@asynccontextmanager
async def answering(*answers: web.Response) -> AsyncIterator[tuple[KubernetesApi, list[web.Request]]]:
    """An API server with these answers, one after the other."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return answers[len(asked) - 1]

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with TestServer(application) as server:
        configuration = client.Configuration(host=str(server.make_url("")).rstrip("/"))
        async with client.ApiClient(configuration) as api:
            yield KubernetesApi(api), asked


def a_page(*items: dict[str, Any], token: str | None = None) -> web.Response:
    metadata = {"resourceVersion": "9"} | ({"continue": token} if token else {})
    return web.json_response({"kind": "PartialObjectMetadataList", "metadata": metadata, "items": list(items)})


async def test_all_pages_are_asked_for_as_metadata_only() -> None:
    async with answering(a_page(an_item("a", 3), token="next"), a_page(an_item("b", 4))) as (api, asked):
        found, version = await api.list_metadata("orders", None)

    assert found == {"uid-a": Listed("uid-a", "shop", "a", 3), "uid-b": Listed("uid-b", "shop", "b", 4)}
    assert version == 9
    assert [request.query.get("continue") for request in asked] == [None, "next"]
    assert all("PartialObjectMetadataList" in request.headers["Accept"] for request in asked)


async def test_every_page_is_asked_for_with_its_bound() -> None:
    async with answering(a_page(an_item("a", 3), token="next"), a_page(an_item("b", 4))) as (api, asked):
        await api.list_metadata("orders", "shop")

    assert [request.query.get("limit") for request in asked] == ["500", "500"]


async def test_a_list_without_items_is_empty() -> None:
    empty = web.json_response({"metadata": {"resourceVersion": "9"}, "items": None})
    async with answering(empty) as (api, _):
        assert await api.list_metadata("orders", "shop") == ({}, 9)


async def test_a_list_that_is_refused_says_why_and_when_to_ask_again() -> None:
    said = json.dumps({"message": "too many requests"})
    refusal = web.Response(status=429, text=said, headers={"Retry-After": "7"})
    async with answering(refusal) as (api, _):
        with pytest.raises(ApiRefused, match="429 too many requests") as refused:
            await api.list_metadata("orders", "shop")

    assert refused.value.after == 7.0
