"""The operator's calls to the API server, beside kopf's watches. Every one is counted."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple, TypeVar

import aiohttp
from kubernetes.aio import client
from pydantic import Field, TypeAdapter

from order_operator import metrics
from order_operator.cluster.api_names import (
    API_VERSION,
    FIELD_MANAGER,
    FINALIZER,
    GROUP,
    ORDER_CLASS_KIND,
    ORDER_CLASSES,
    VERSION,
)
from order_operator.cluster.resource import Resource
from order_operator.work_queue import TryLater

REQUEST_TIMEOUT_SECONDS = 10.0

MAX_RETRY_AFTER_SECONDS = 60.0
"""However long the API server asks to be left alone."""
PAGE_SIZE = 500
_METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}

T = TypeVar("T")


class Conflict(Exception):
    """The object changed since it was read; the watch will bring the new one."""


class ApiRefused(TryLater):
    """The API server answered with an error; for want of rights or for the content, trying again soon is no use."""

    def __init__(self, message: str, answer: client.ApiException) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers or {}
        # Rights come back without a word; the content does not change.
        self.for_content = self.status in {400, 413, 422}
        super().__init__(message, after=_retry_after(answer), refused=self.for_content)


class ApiUnreachable(TryLater):
    """There was no answer."""


class NotLeading(Exception):
    """This process has lost the leadership, or was asleep for so long that it may have: it writes nothing more."""


class NotFound(Exception):
    """There is no such object."""

    def __init__(self, *words: str, name: str | None = None) -> None:
        """`name`: of the object, as the API server calls it; None where its answer names none."""
        super().__init__(*words)
        self.name = name


class Listed(NamedTuple):
    """What a list of metadata tells of one object."""

    uid: str
    namespace: str
    name: str
    resource_version: int
    known_version: int = 0
    """The later resourceVersion in which the object was seen before; 0 if it was not."""


@dataclass(slots=True)
class _Metadata:
    uid: str
    namespace: str
    name: str
    resourceVersion: str  # noqa: N815 - as the API spells it


@dataclass(slots=True)
class _Item:
    metadata: _Metadata


@dataclass(slots=True)
class _ListMetadata:
    resourceVersion: str  # noqa: N815
    continue_: Annotated[str, Field(alias="continue")] = ""


@dataclass(slots=True)
class _Page:
    metadata: _ListMetadata
    items: list[_Item] | None = None


_METADATA_PAGE = TypeAdapter(_Page)
"""What is not named here, managedFields above all, never becomes an object of Python."""


class KubernetesApi:
    """Typed access to what the operator reads and writes."""

    def __init__(self, api: client.ApiClient, may_act: Callable[[], bool] = lambda: True) -> None:
        """`may_act`: whether this process leads, asked before each write."""
        self._may_act = may_act
        self._objects = client.CustomObjectsApi(api)
        self._events = client.EventsV1Api(api)
        self._core = client.CoreV1Api(api)
        self._version = client.VersionApi(api)

    async def get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        """Raises NotFound, if the API server says so of this very object: one that does not serve the kind, as for a
        moment after its start, finds no path, and tells nothing of what is there."""
        call: Awaitable[Any] = self._objects.get_namespaced_custom_object(
            GROUP, VERSION, namespace, plural, name, _request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        return await _found(plural, name, call)

    async def list_metadata(self, plural: str, namespace: str | None) -> tuple[dict[str, Listed], int]:
        """Metadata of every object, of one namespace or of all, by uid, and the resourceVersion of the list."""
        found: dict[str, Listed] = {}
        token = version = ""
        list_page: Callable[..., Awaitable[Any]] = (
            partial(self._objects.list_cluster_custom_object_without_preload_content, GROUP, VERSION, plural)
            if namespace is None
            else partial(
                self._objects.list_namespaced_custom_object_without_preload_content, GROUP, VERSION, namespace, plural
            )
        )
        while True:
            call = list_page(
                limit=PAGE_SIZE,
                _continue=token or None,
                _headers=_METADATA_ONLY,
                _request_timeout=REQUEST_TIMEOUT_SECONDS,
            )
            page = _METADATA_PAGE.validate_json(await _counted("list", plural, _body_of(call)))
            for item in page.items or ():
                metadata = item.metadata
                shared = sys.intern(metadata.namespace)
                found[metadata.uid] = Listed(metadata.uid, shared, metadata.name, int(metadata.resourceVersion))
            version = page.metadata.resourceVersion
            token = page.metadata.continue_
            if not token:
                return found, int(version)

    async def list_order_classes(self) -> tuple[list[dict[str, Any]], int]:
        """All of them, since classes are few, and the resourceVersion of the list."""
        call: Awaitable[Any] = self._objects.list_cluster_custom_object(
            GROUP, VERSION, ORDER_CLASSES, _request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        answer: dict[str, Any] = await _counted("list", ORDER_CLASSES, call)
        return list(answer["items"]), int(answer["metadata"]["resourceVersion"])

    async def time(self) -> float | None:
        """Seconds since the epoch by the API server's clock; None if its answer does not tell, as behind a proxy."""
        call: Awaitable[Any] = self._version.get_code_with_http_info(_request_timeout=REQUEST_TIMEOUT_SECONDS)
        try:
            headers: Mapping[str, str] = (await _counted("get", "version", call)).headers or {}
        except ApiRefused as refused:  # a refusal tells the time as well
            headers = refused.headers
        except (NotFound, Conflict, ValueError):  # a proxy's own answer, or one with a body that is none
            return None
        try:
            return parsedate_to_datetime(headers.get("Date", "")).timestamp()
        except ValueError:
            return None

    async def cluster_identity(self) -> str:
        """The uid of the namespace kube-system, which stays the same as long as the cluster exists."""
        call = self._core.read_namespace("kube-system", _request_timeout=REQUEST_TIMEOUT_SECONDS)
        namespace = await _counted("get", "namespaces", call)
        assert namespace.metadata is not None
        return str(namespace.metadata.uid)

    async def namespace_labels(self, name: str) -> dict[str, str]:
        """The labels of the namespace. Raises NotFound."""
        call = self._core.read_namespace(name, _request_timeout=REQUEST_TIMEOUT_SECONDS)
        namespace = await _counted("get", "namespaces", call)
        assert namespace.metadata is not None
        return dict(namespace.metadata.labels or {})

    async def definition(self, name: str) -> dict[str, Any]:
        """The CustomResourceDefinition of this name. Raises NotFound."""
        call: Awaitable[Any] = self._objects.get_cluster_custom_object(
            "apiextensions.k8s.io", "v1", "customresourcedefinitions", name, _request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        return await _counted("get", "customresourcedefinitions", call)

    async def admission_policy(self, name: str) -> dict[str, Any]:
        """The ValidatingAdmissionPolicy of this name. Raises NotFound."""
        return await self._of_admission("validatingadmissionpolicies", name)

    async def admission_policy_binding(self, name: str) -> dict[str, Any]:
        """The ValidatingAdmissionPolicyBinding of this name. Raises NotFound."""
        return await self._of_admission("validatingadmissionpolicybindings", name)

    async def _of_admission(self, plural: str, name: str) -> dict[str, Any]:
        call: Awaitable[Any] = self._objects.get_cluster_custom_object(
            "admissionregistration.k8s.io", "v1", plural, name, _request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        return await _found(plural, name, call)

    async def write_status(self, resource: Resource, status: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the whole status, so that nothing which somebody else wrote into it stays. Guarded by the version
        last seen: a stale operator must not write onto a newer object, nor onto one that was created again. Raises
        Conflict, NotFound."""
        self._guard()
        body = {
            "apiVersion": API_VERSION,
            "kind": resource.kind,
            "metadata": {
                "namespace": resource.namespace,
                "name": resource.name,
                "resourceVersion": resource.resource_version,
            },
            "status": status,
        }
        call: Awaitable[Any] = self._objects.replace_namespaced_custom_object_status(
            GROUP,
            VERSION,
            resource.namespace,
            resource.plural,
            resource.name,
            body,
            field_manager=FIELD_MANAGER,
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        return await _counted("update", f"{resource.plural}/status", call)

    async def write_class_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Replace the status of the OrderClass `body`, guarded by its version. Raises Conflict, NotFound."""
        self._guard()
        name, version = body["metadata"]["name"], body["metadata"]["resourceVersion"]
        replaced = {
            "apiVersion": API_VERSION,
            "kind": ORDER_CLASS_KIND,
            "metadata": {"name": name, "resourceVersion": version},
            "status": status,
        }
        call: Awaitable[Any] = self._objects.replace_cluster_custom_object_status(
            GROUP,
            VERSION,
            ORDER_CLASSES,
            name,
            replaced,
            field_manager=FIELD_MANAGER,
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        await _counted("update", f"{ORDER_CLASSES}/status", call)

    async def set_finalizer(self, resource: Resource, *, present: bool) -> dict[str, Any]:
        """Add or remove our finalizer, guarded by the version last seen. Raises Conflict, NotFound."""
        self._guard()
        others = [name for name in resource.finalizers if name != FINALIZER]
        metadata = {
            "resourceVersion": resource.resource_version,
            "finalizers": [*others, FINALIZER] if present else others,
        }
        call: Awaitable[Any] = self._objects.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            resource.namespace,
            resource.plural,
            resource.name,
            {"metadata": metadata},
            field_manager=FIELD_MANAGER,
            _content_type="application/merge-patch+json",
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        return await _counted("patch", resource.plural, call)

    async def delete(self, resource: Resource) -> None:
        """Delete exactly this version of it. Raises Conflict, NotFound."""
        self._guard()
        exactly = client.V1Preconditions(uid=resource.uid, resource_version=resource.resource_version)
        call: Awaitable[Any] = self._objects.delete_namespaced_custom_object(
            GROUP,
            VERSION,
            resource.namespace,
            resource.plural,
            resource.name,
            body=client.V1DeleteOptions(preconditions=exactly),
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        await _counted("delete", resource.plural, call)

    async def create_event(self, namespace: str, event: client.EventsV1Event) -> None:
        """Post one event."""
        self._guard()
        call = self._events.create_namespaced_event(namespace, event, _request_timeout=REQUEST_TIMEOUT_SECONDS)
        await _counted("create", "events", call)

    def _guard(self) -> None:
        if not self._may_act():
            raise NotLeading


async def _body_of(call: Awaitable[aiohttp.ClientResponse]) -> bytes:
    """Of an answer that the client does not decode. Raises ApiException, as the client does."""
    answer = await call
    body = await answer.read()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        refused = client.ApiException(status=answer.status, reason=answer.reason)
        refused.body, refused.headers = body.decode(errors="replace"), answer.headers
        raise refused
    return body


async def _found(plural: str, name: str, call: Awaitable[T]) -> T:
    """Raises NotFound only where the API server says it of the object of this name."""
    try:
        return await _counted("get", plural, call)
    except NotFound as missing:
        if missing.name == name:
            raise
        raise ApiUnreachable(f"get {plural}: the API server does not serve this kind now: {missing}") from missing


async def _counted(verb: str, resource: str, call: Awaitable[T]) -> T:
    code = "0"
    try:
        answer = await call
        code = "200"
    except client.ApiException as refused:
        code = str(refused.status)
        if refused.status == 404:
            raise NotFound(message(refused), name=_named(refused)) from refused
        if refused.status == 409:
            raise Conflict(message(refused)) from refused
        raise ApiRefused(f"{verb} {resource}: {code} {message(refused)}", refused) from refused
    except (aiohttp.ClientError, TimeoutError) as lost:
        cause = str(lost) or type(lost).__name__
        raise ApiUnreachable(f"{verb} {resource}: the API server does not answer: {cause}") from lost
    finally:
        metrics.KUBERNETES_REQUESTS.labels(verb=verb, resource=resource, code=code).inc()
    return answer


def _retry_after(refused: client.ApiException) -> float | None:
    """Seconds that an overloaded API server asks to be left alone; None if it does not, nor if it says nought: it would
    be asked again at once, and again."""
    text = (refused.headers or {}).get("Retry-After", "")
    return min(float(text), MAX_RETRY_AFTER_SECONDS) or None if text.isdigit() else None


def _named(refused: client.ApiException) -> str | None:
    """The object that an answer is about."""
    try:
        return str(json.loads(refused.body or "")["details"]["name"])
    except (TypeError, ValueError, KeyError):
        return None


def message(refused: client.ApiException) -> str:
    """What the API server says of a refusal, in a sentence."""
    try:
        return str(json.loads(refused.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(refused.reason)
