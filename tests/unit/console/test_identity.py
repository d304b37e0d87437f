"""Who a request comes from: by token, and by a proxy in front."""

from typing import Any

import pytest
from starlette.requests import Request

from order_console import identity as module
from order_console.api_server import ApiError
from order_console.identity import ByProxy, ByToken, NotLoggedIn, OfNobody
from order_console.sessions import Sessions

PROOF = "of the proxy"


def a_request(**headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": sent})


class Asked:
    """Counts who is asked about, and answers as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.answer: tuple[str, tuple[str, ...]] | ApiError = ("maria", ("staff",))
        monkeypatch.setattr(module, "who_am_i", self._who_am_i)

    async def _who_am_i(self, _: object) -> tuple[str, tuple[str, ...]]:
        self.count += 1
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def by_token() -> ByToken:
    client: Any = None
    return ByToken(client, Sessions(None, secure=True))


def by_proxy(*groups: str) -> ByProxy:
    client: Any = None
    return ByProxy(client, Sessions(None, secure=True), PROOF, groups)


async def test_whose_a_token_is_is_asked_once_in_half_a_minute(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked at each request: 50 people who watched cost the API server more than all orders."""
    identity = by_token()
    for _ in range(3):
        assert (await identity.caller(a_request(authorization="Bearer a"))).name == "maria"
    assert asked.count == 1

    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    await identity.caller(a_request(authorization="Bearer a"))
    assert asked.count == 2


async def test_another_token_is_another_person(asked: Asked) -> None:
    identity = by_token()
    assert (await identity.caller(a_request(authorization="Bearer a"))).name == "maria"
    asked.answer = ("vera", ())
    assert (await identity.caller(a_request(authorization="Bearer b"))).name == "vera"


async def test_a_token_that_is_refused_is_not_taken_for_whose_it_was(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = by_token()
    await identity.caller(a_request(authorization="Bearer a"))
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    asked.answer = ApiError(401, "expired")

    with pytest.raises(ApiError):
        await identity.caller(a_request(authorization="Bearer a"))
    asked.answer = ApiError(0, "away")
    with pytest.raises(ApiError):
        await identity.caller(a_request(authorization="Bearer a"))


async def test_while_the_api_server_is_away_a_token_that_was_known_stays_so(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = by_token()
    await identity.caller(a_request(authorization="Bearer a"))
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    asked.answer = ApiError(0, "the API server does not answer")

    assert (await identity.caller(a_request(authorization="Bearer a"))).name == "maria"


async def test_a_form_outlives_the_token_that_a_proxy_renews(asked: Asked) -> None:
    identity = by_token()
    before = await identity.caller(a_request(authorization="Bearer a"))
    after = await identity.caller(a_request(authorization="Bearer renewed"))
    asked.answer = ("vera", ())
    other = await identity.caller(a_request(authorization="Bearer of vera"))

    assert after.session.proves(before.session.proof())
    assert not other.session.proves(before.session.proof())


@pytest.mark.parametrize("proof", ["", "guessed"])
async def test_nobody_names_themselves_past_the_proxy(proof: str) -> None:
    with pytest.raises(NotLoggedIn):
        await by_proxy().caller(a_request(x_order_console_proof=proof, x_forwarded_user="maria"))


async def test_no_proxy_makes_somebody_an_administrator_of_the_cluster() -> None:
    """Whoever may name groups in a company's directory would have been one, by the group system:masters."""
    named = {"x_order_console_proof": PROOF, "x_forwarded_groups": "system:masters, staff"}

    caller = await by_proxy().caller(a_request(x_forwarded_user="maria", **named))
    assert caller.groups == ("staff",)
    assert ("Impersonate-Group", "system:masters") not in caller.api.headers
    with pytest.raises(NotLoggedIn):
        await by_proxy().caller(a_request(x_forwarded_user="system:kube-controller-manager", **named))


async def test_groups_that_the_console_may_not_impersonate_are_left_out() -> None:
    """One such group had every request refused."""
    named = {"x_order_console_proof": PROOF, "x_forwarded_groups": "staff,order-approvers,football"}

    caller = await by_proxy("order-approvers").caller(a_request(x_forwarded_user="maria", **named))

    assert caller.groups == ("order-approvers",)


async def test_groups_count_in_however_many_headers_they_come() -> None:
    """Those of the second header were left out."""
    sent = [(b"x-order-console-proof", PROOF.encode()), (b"x-forwarded-user", b"maria")]
    sent += [(b"x-forwarded-groups", b"staff,buyers"), (b"x-forwarded-groups", b"order-approvers")]
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": sent})

    assert (await by_proxy().caller(request)).groups == ("staff", "buyers", "order-approvers")


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_where_the_console_knows_nobody_it_writes_nothing_whatever_its_rights(method: str) -> None:
    client: Any = None
    caller = await OfNobody(client, Sessions(None, secure=True)).caller(a_request())

    with pytest.raises(ApiError) as refused:
        await caller.api.call(method, "/apis/order-platform.dev/v1alpha1/namespaces/shop/orders/order-1500", {})

    assert refused.value.status == 403
