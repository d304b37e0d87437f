"""Stripe as far as payments need it, from its documentation: PaymentIntents with their state machine, refunds and what
becomes of them, lists, search, idempotency keys, tokens that can be used once, and ways to fail.

Sources: docs.stripe.com/api/payment_intents, /api/refunds, /api/idempotent_requests, /api/pagination, /api/errors,
/error-codes, /error-low-level, /search, /refunds, /testing.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

KEY = "sk_test_first"
DECLINES = {
    "tok_chargeDeclined": {"code": "card_declined", "decline_code": "generic_decline"},
    "tok_chargeDeclinedInsufficientFunds": {"code": "card_declined", "decline_code": "insufficient_funds"},
    "tok_chargeDeclinedExpiredCard": {"code": "expired_card"},
    "pm_card_authenticationRequired": {"code": "card_declined", "decline_code": "authentication_required"},
    "pm_card_threeDSecureRequired": {"code": "requires_action_not_handled"},
}
OPEN = ("requires_payment_method", "requires_confirmation")


class Refusal(Exception):
    """An error that Stripe answers with."""

    def __init__(self, status: int, **error: Any) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": {"message": "refused", "type": "invalid_request_error", **error}}


@dataclass
class Fault:
    """What goes wrong with the next request to `action`."""

    action: str
    status: int | None = None
    """Answered instead of doing anything."""
    after: bool = False
    """The `status` is answered after everything is done."""
    lost: bool = False
    """Everything is done, and the connection is cut."""
    silent: bool = False
    """Everything is done, and no answer comes."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event | None = None
    """The request waits for this before anything is done."""


class FakeStripe:
    """One account."""

    def __init__(self) -> None:
        self.keys = {KEY}
        self.intents: dict[str, dict[str, Any]] = {}
        self.methods: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[Any, int, dict[str, Any]]] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.confirmations = 0
        self.page = 100
        """Most entries of one page of a list."""
        self.used_tokens: set[str] = set()
        """A token that begins with `tok_once` can be used once."""
        self.refunds_begin = "succeeded"
        self.search_lags = False
        self.no_search: int | None = None
        """Answered to every search, as to those of accounts in India or of a restricted key."""
        self.searchable: set[str] = set()
        self.after_charge: Callable[[dict[str, Any]], None] = lambda _: None
        self._clock = count(1_700_000_000)

    def fail(self, action: str, **fault: Any) -> Fault:
        """Let the next request to `action` (create, confirm, cancel, update, look, search, refund, refunds) fail."""
        self.faults.append(Fault(action, **fault))
        return self.faults[-1]

    def a_day_later(self) -> None:
        """Idempotency keys are forgotten, and the search has caught up."""
        self.answers.clear()
        self.searchable.update(self.intents)

    def forget(self) -> None:
        """As if it were another account."""
        for memory in (self.intents, self.methods, self.refunds, self.answers):
            memory.clear()
        self.searchable.clear()

    def taken(self) -> int:
        """Money in the account."""
        received = sum(intent["amount_received"] for intent in self.intents.values())
        return received - sum(refund["amount"] for refund in self.refunds.values() if _is_live(refund))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        action, act = self._route(request)
        self.requests.append(action)
        fault = next((fault for fault in self.faults if fault.action == action), None)
        if fault is not None:
            self.faults.remove(fault)
            fault.arrived.set()
            if fault.go_on is not None:
                await fault.go_on.wait()
        params = _nested([*request.query.items(), *(await request.post()).items()])
        status, body, headers = self._keep(request, params, lambda: self._act(request, act, params, fault))
        if fault is not None and fault.lost:
            assert request.transport is not None
            request.transport.close()
        if fault is not None and fault.silent:
            await asyncio.sleep(3600)
        return web.json_response(body, status=status, headers=headers)

    def _route(self, request: web.Request) -> tuple[str, Callable[..., dict[str, Any]]]:
        kind, *path = request.path.removeprefix("/v1/").split("/")
        routes = {"payment_intents": self._route_intent, "refunds": self._route_refund}
        return routes[kind](request.method, path)

    def _route_intent(self, method: str, path: list[str]) -> tuple[str, Callable[..., dict[str, Any]]]:
        match method, path:
            case "POST", []:
                return "create", self._create
            case "GET", ["search"]:
                return "search", self._search
            case "GET", []:
                return "list", self._list_intents
            case "GET", [intent]:
                return "look", lambda params: self._shown(self._intent(intent), params)
            case "POST", [intent]:
                return "update", lambda params: self._update(self._intent(intent), params)
            case "POST", [intent, "confirm"]:
                return "confirm", lambda params: self._confirm(self._intent(intent), params)
            case "POST", [intent, "cancel"]:
                return "cancel", lambda params: self._cancel(self._intent(intent), params)
        raise AssertionError(f"no such request: {method} {path}")

    def _route_refund(self, method: str, path: list[str]) -> tuple[str, Callable[..., dict[str, Any]]]:
        match method, path:
            case "POST", []:
                return "refund", self._refund
            case "GET", []:
                return "refunds", self._list_refunds
            case "GET", [refund]:
                return "look at refund", lambda _: _among(self.refunds, refund)
        raise AssertionError(f"no such request: {method} {path}")

    def _intent(self, name: str) -> dict[str, Any]:
        return _among(self.intents, name)

    def _keep(
        self, request: web.Request, params: dict[str, Any], act: Callable[[], tuple[int, dict[str, Any]]]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Answers to a known idempotency key are repeated, internal errors too; what never began is not kept."""
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is None:
            return *act(), {}
        asked = (request.path, params)
        if key in self.answers:
            before, status, body = self.answers[key]
            if before != asked:
                refusal = Refusal(400, type="idempotency_error")
                return refusal.status, refusal.body, {}
            return status, body, {"Idempotent-Replayed": "true"}
        status, body = act()
        if status not in (401, 403, 409, 429):
            self.answers[key] = (asked, status, json.loads(json.dumps(body)))
        return status, body, {}

    def _act(
        self, request: web.Request, act: Callable[..., dict[str, Any]], params: dict[str, Any], fault: Fault | None
    ) -> tuple[int, dict[str, Any]]:
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.keys:
            return 401, Refusal(401).body
        failure = fault.status if fault is not None else None
        if failure is not None and fault is not None and not fault.after:
            return failure, Refusal(failure, type="api_error").body
        try:
            answer = act(params)
        except Refusal as refusal:
            return refusal.status, refusal.body
        if failure is not None:
            return failure, Refusal(failure, type="api_error").body
        return 200, json.loads(json.dumps(answer))

    def _create(self, params: dict[str, Any]) -> dict[str, Any]:
        amount = int(params["amount"])
        if amount < 50:
            raise Refusal(400, code="amount_too_small", param="amount")
        assert params["allowed_payment_method_types"] == {"0": "card"}
        intent = {
            "id": f"pi_{len(self.intents) + 1}",
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "currency": params["currency"],
            "status": "requires_payment_method",
            "metadata": params["metadata"],
            "payment_method": None,
            "last_payment_error": None,
            "created": next(self._clock),
        }
        self.intents[intent["id"]] = intent
        if not self.search_lags:
            self.searchable.add(intent["id"])
        return self._shown(intent, params)

    def _search(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.no_search is not None:
            raise Refusal(self.no_search)
        asked = re.fullmatch(r'metadata\["operation_id"\]:"((?:[^"\\]|\\.)*)"', params["query"])
        assert asked, params["query"]
        key = re.sub(r"\\(.)", r"\1", asked[1])
        found = [
            # As it was when it was indexed.
            {**self._shown(intent, {}), "status": "requires_payment_method", "amount_received": 0}
            for intent in reversed(self.intents.values())
            if intent["id"] in self.searchable and intent["metadata"]["operation_id"] == key
        ]
        return {"object": "search_result", "data": found, "has_more": False, "url": "/v1/payment_intents/search"}

    def _update(self, intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_open(intent)
        intent["metadata"] = {**intent["metadata"], **params["metadata"]}
        intent["last_payment_error"] = None
        return self._shown(intent, params)

    def _confirm(self, intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_open(intent)
        assert params["error_on_requires_action"] == "true"
        data = params.get("payment_method_data")
        token = data["card"]["token"] if data else params["payment_method"]
        if "bogus" in token:
            param = "payment_method_data[card][token]" if data else "payment_method"
            raise Refusal(400, code="resource_missing", param=param)
        if token in self.used_tokens:
            raise Refusal(400, code="token_already_used", param="payment_method_data[card][token]")
        if token.startswith("tok_once"):
            self.used_tokens.add(token)
        self.confirmations += 1
        decline = DECLINES.get(token)
        if decline is not None:
            intent["last_payment_error"] = {"type": "card_error", "message": "declined", **decline}
            raise Refusal(402, **intent["last_payment_error"], payment_intent=self._shown(intent, {}))
        method = {
            "id": token if token.startswith("pm_") else f"pm_of_{token}",
            "object": "payment_method",
            "metadata": data["metadata"] if data else {},
        }
        self.methods.setdefault(method["id"], method)
        intent.update(status="succeeded", amount_received=intent["amount"], payment_method=method["id"])
        self.after_charge(intent)
        return self._shown(intent, params)

    def _cancel(self, intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_open(intent)
        intent.update(status="canceled", last_payment_error=None)
        return self._shown(intent, params)

    def _must_be_open(self, intent: dict[str, Any]) -> None:
        if intent["status"] not in (*OPEN, "requires_action"):
            raise Refusal(400, code="payment_intent_unexpected_state", payment_intent=self._shown(intent, {}))

    def _shown(self, intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        expanded = "payment_method" in params.get("expand", {}).values()
        return {**intent, "payment_method": self.methods.get(intent["payment_method"])} if expanded else {**intent}

    def _list_intents(self, params: dict[str, Any]) -> dict[str, Any]:
        assert params["expand"] == {"0": "data.latest_charge"}
        listed = self._page([*self.intents.values()], params, "/v1/payment_intents")
        for intent in listed["data"]:
            refunded = sum(refund["amount"] for refund in self._of(intent) if _is_live(refund))
            charge = {"id": f"ch_of_{intent['id']}", "object": "charge", "amount_refunded": refunded}
            intent["latest_charge"] = charge if intent["amount_received"] else None
        return listed

    def _page(self, entries: list[dict[str, Any]], params: dict[str, Any], url: str) -> dict[str, Any]:
        """The newest first."""
        created = params.get("created", {})
        since, until = int(created.get("gte", 0)), int(created.get("lte", 2**62))
        wanted = [entry for entry in reversed(entries) if since <= entry["created"] <= until]
        if "starting_after" in params:
            names = [entry["id"] for entry in wanted]
            if params["starting_after"] not in names:
                raise Refusal(400, code="resource_missing", param="starting_after")
            wanted = wanted[names.index(params["starting_after"]) + 1 :]
        size = min(self.page, int(params["limit"]))
        data = [dict(entry) for entry in wanted[:size]]
        return {"object": "list", "data": data, "has_more": len(wanted) > size, "url": url}

    def _refund(self, params: dict[str, Any]) -> dict[str, Any]:
        intent = self._intent(params["payment_intent"])
        left = intent["amount_received"] - sum(refund["amount"] for refund in self._of(intent) if _is_live(refund))
        amount = int(params.get("amount", left))
        if left == 0:
            raise Refusal(400, code="charge_already_refunded")
        if amount > left:
            raise Refusal(400, message="Refund amount is greater than unrefunded amount on charge", param="amount")
        refund = {
            "id": f"re_{len(self.refunds) + 1}",
            "object": "refund",
            "payment_intent": intent["id"],
            "charge": f"ch_of_{intent['id']}",
            "amount": amount,
            "currency": intent["currency"],
            "metadata": params.get("metadata", {}),
            "status": self.refunds_begin,
            "created": next(self._clock),
        }
        self.refunds[refund["id"]] = refund
        return refund

    def _list_refunds(self, params: dict[str, Any]) -> dict[str, Any]:
        of = params.get("payment_intent")
        refunds = [refund for refund in self.refunds.values() if of in (None, refund["payment_intent"])]
        return self._page(refunds, params, "/v1/refunds")

    def _of(self, intent: dict[str, Any]) -> list[dict[str, Any]]:
        return [refund for refund in self.refunds.values() if refund["payment_intent"] == intent["id"]]


def _is_live(refund: dict[str, Any]) -> bool:
    return refund["status"] not in ("failed", "canceled")


def _among(known: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in known:
        raise Refusal(404, code="resource_missing", param="id", message=f"No such object: {name}")
    return known[name]


def _nested(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """`a[b][c]=d` -> `{a: {b: {c: d}}}`"""
    nested: dict[str, Any] = {}
    for name, value in items:
        *path, last = re.findall(r"[^\[\]]+", name)
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


@asynccontextmanager
async def serving(stripe: FakeStripe) -> AsyncIterator[str]:
    """Address of the API."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stripe.answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
