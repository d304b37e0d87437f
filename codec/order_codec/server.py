"""The codec server of Temporal's Web UI and command line: POST /decode and /encode, as Temporal documents them.

A payload is decoded for those who may read the order that it belongs to. Which that is, the payload says itself, and
the key vouches for it. Each request that was let in leaves one line in the log: who, of which workflows, how many
payloads.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from order_codec import envelope
from order_codec.access import Access, Caller, NotAnswered, NotKnown
from order_codec.key_ring import KeyRing
from order_codec.scope import kubernetes_namespace_of, of_all_workflows, temporal_namespace_of, workflow_id_of
from order_codec.undecodable import Undecodable

AUDIT = logging.getLogger("order_codec.audit")
LOG = logging.getLogger(__name__)

MOST_BODY_BYTES = 16 * 1024 * 1024
MOST_PAYLOADS = 10_000
MOST_WORKFLOWS_NAMED = 20
ALLOWED_HEADERS = "Authorization, Content-Type, X-Namespace"


class CodecServer:
    """`origins`: of the pages that may ask, such as https://temporal.example.com; exactly these. `write`: whether what
    is sent by page or command is encrypted."""

    def __init__(self, ring: KeyRing, access: Access, origins: Collection[str], *, write: bool) -> None:
        self._ring = ring
        self._write = write
        self._access = access
        self._origins = frozenset(origins)

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[self._guarded])
        for path in ("/decode", "/encode", "/{namespace}/decode", "/{namespace}/encode"):
            answer = self._decode if path.endswith("decode") else self._encode
            app.router.add_post(path, answer)
            app.router.add_route("OPTIONS", path, self._preflight)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            return _refusal(403, "this page may not ask: its origin is not among those of the codec server")
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            response = _refusal(error.status, error.reason)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Vary"] = "Origin"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _preflight(self, request: web.Request) -> web.Response:  # noqa: ARG002
        headers = {
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    async def _decode(self, request: web.Request) -> web.Response:
        caller = await self._caller(request)
        payloads = await _payloads(request)
        namespace = _temporal_namespace(request)
        decoded, read = [], Counter[str]()
        for payload in payloads:
            opened, workflow = await self._opened(payload, caller, namespace)
            decoded.append(opened)
            read.update([workflow] if workflow else [])
        _tell("decoded", caller, namespace, read)
        return _answer(decoded)

    async def _opened(self, payload: Payload, caller: Caller, namespace: str) -> tuple[Payload, str]:
        """The payload, and whose it is; as it was, and nobody's, where it is not to be read."""
        if not envelope.is_sealed(payload):
            return payload, ""
        scope = envelope.text_of(payload, envelope.SCOPE)
        if namespace and temporal_namespace_of(scope) not in (None, namespace):
            return payload, ""
        # Nothing is decrypted for whom it is not: a refusal then tells nothing of the payload either.
        if not await self._may_read(caller, kubernetes_namespace_of(scope)):
            return payload, ""
        try:
            opened = envelope.open_sealed(payload, self._ring.reading(envelope.text_of(payload, envelope.KEY_ID)))
        except Undecodable as undecodable:
            LOG.info("a payload is not decoded: %s", undecodable)
            return payload, ""
        return opened, workflow_id_of(scope) or scope

    async def _encode(self, request: web.Request) -> web.Response:
        """For the whole Temporal namespace: neither page nor command says to which workflow they send it. Before
        payloads are encrypted at all, as it is."""
        caller = await self._caller(request)
        payloads = await _payloads(request)
        namespace = _temporal_namespace(request)
        if self._write:
            if not namespace:
                raise web.HTTPBadRequest(reason="say for which Temporal namespace, by the header X-Namespace")
            key, scope = self._ring.writing(None), of_all_workflows(namespace)
            payloads = [each if envelope.is_sealed(each) else envelope.seal(each, key, scope) for each in payloads]
        _tell("encoded" if self._write else "passed on", caller, namespace, Counter({"-": len(payloads)}))
        return _answer(payloads)

    async def _caller(self, request: web.Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            return await self._access.caller(token.strip() if scheme.lower() == "bearer" else "")
        except NotKnown:
            raise web.HTTPUnauthorized(reason="send the bearer token of a Kubernetes account") from None
        except NotAnswered as error:
            raise web.HTTPServiceUnavailable(reason=str(error)) from None

    async def _may_read(self, caller: Caller, namespace: str | None) -> bool:
        try:
            return await self._access.may_read(caller, namespace)
        except NotKnown:
            raise web.HTTPUnauthorized(reason="the token is no longer valid") from None
        except NotAnswered as error:
            raise web.HTTPServiceUnavailable(reason=str(error)) from None


def _temporal_namespace(request: web.Request) -> str:
    """As page or command says it; empty if it does not."""
    return str(request.match_info.get("namespace", "")) or request.headers.get("X-Namespace", "")


async def _payloads(request: web.Request) -> list[Payload]:
    try:
        found = Parse((await request.read()).decode(), Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError, RecursionError, ValueError):
        raise web.HTTPBadRequest(reason="the body is not what Temporal sends: JSON with `payloads`") from None
    if len(found.payloads) > MOST_PAYLOADS:
        raise web.HTTPRequestEntityTooLarge(max_size=MOST_PAYLOADS, actual_size=len(found.payloads))
    return list(found.payloads)


def _answer(payloads: Iterable[Payload]) -> web.Response:
    return web.Response(text=MessageToJson(Payloads(payloads=payloads), indent=None), content_type="application/json")


def _refusal(status: int, why: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response({"message": why}, status=status, headers=headers)


def _tell(what: str, caller: Caller, namespace: str, read: Counter[str]) -> None:
    about = {
        "caller": caller.name,
        "temporal_namespace": namespace,
        "workflows": [name[:300] for name, _ in read.most_common(MOST_WORKFLOWS_NAMED)],
        "workflow_count": len(read),
        "payload_count": read.total(),
    }
    AUDIT.info("payloads %s", what, extra=about)
