"""The API server and the operator judge a text alike: one holds CEL, the other Python."""

import base64
import copy
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from cluster import ORDERS, PATIENCE_SECONDS
from generated_resources import CRDS
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from order_devstack.errors import CommandFailed
from order_devstack.stack import Stack
from order_domain import judgement
from order_domain.order import OrderSpec
from order_operator.cluster.api_names import API_VERSION

Spec = dict[str, Any]

ORDER: Spec = {
    "customer": {"id": "CUST-1"},
    "currency": "USD",
    "lines": [{"lineID": "1", "sku": "PROD-001", "quantity": 1, "unitPriceMinor": 100}],
    "shippingAddress": {"name": "Ana", "line1": "1 Main Street", "city": "Springfield", "country": "US"},
    "payment": {"method": "tok_visa"},
}
FIELDS = {
    "a name": ("shippingAddress", "name"),
    "a line that may be empty": ("shippingAddress", "line2"),
    "a postal code": ("shippingAddress", "postalCode"),
    "a country": ("shippingAddress", "country"),
    "a telephone number": ("shippingAddress", "phone"),
    "a mail address": ("customer", "email"),
    "a token": ("payment", "method"),
}

# What one of two programs could read in another way: ends of lines, other planes, all that is not seen, and digits.
STRANGE = (
    "\0\t\n\r\x1b\x7f\x85\xa0\xad\u034f\u061c\u1160\u1680\u180b\u180e\u2000\u200b\u200c\u200d\u200f\u2028\u202e\u202f"
    "\u205f\u2060\u2066\u2800\u3000\u3164\ufdd0\ufe0f\ufeff\uffa0\ufff9\ufffd\uffff\U0001d173\U000e0001\U000e0100"
    "\U000e01f0 @.-_+()/xAZ09é太😀"
)
TEXTS = (
    st.text(st.sampled_from(STRANGE), max_size=6)
    | st.text(max_size=20)
    | st.text("0123456789 -_", min_size=10, max_size=24)
    | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)
    | st.builds(lambda *parts: "".join(parts), *([st.text(st.sampled_from(STRANGE), max_size=2)] * 3)).map(
        lambda text: f"a{text}@example.com"
    )
)


class Admission:
    """What the API server says of an order, without keeping it. As programs ask it: kubectl takes a second."""

    def __init__(self, stack: Stack) -> None:
        known = json.loads(stack.kubeconfig.read_text())
        server = known["clusters"][0]["cluster"]
        authority = base64.b64decode(server["certificate-authority-data"]).decode()
        self._url = f"{server['server']}/apis/{API_VERSION}/namespaces/default/orders?dryRun=All&fieldValidation=Strict"
        self._token = known["users"][0]["user"]["token"]
        self._trust = ssl.create_default_context(cadata=authority)

    def refusal(self, spec: Spec) -> str:
        """Empty if there is none."""
        body = {"apiVersion": API_VERSION, "kind": "Order", "metadata": {"name": "tried"}, "spec": spec}
        request = urllib.request.Request(  # noqa: S310 - the stack's own API server
            self._url,
            data=json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            method="POST",
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=30):  # noqa: S310
                return ""
        except urllib.error.HTTPError as refused:
            with refused:
                return str(json.loads(refused.read())["message"])


@pytest.fixture(scope="module")
def admission(servers: Stack) -> Admission:
    servers.install_charts()
    return Admission(servers)


def by_the_operator(spec: Spec) -> str:
    """The same from the models."""
    try:
        judgement.judge(OrderSpec, spec)
    except ValidationError as invalid:
        return "; ".join(judgement.field_errors(invalid, under="spec"))
    return ""


@pytest.mark.parametrize(
    "examples", [pytest.param(150, id="few"), pytest.param(3_000, marks=pytest.mark.long, id="many")]
)
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_a_text_is_accepted_by_both_or_refused_by_both(
    admission: Admission, field: tuple[str, str], examples: int
) -> None:
    part, name = field

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(TEXTS.filter(lambda text: text.isprintable() or text.encode("utf-8", "ignore").decode() == text))
    @example("ana@exa\u3000mple.com")
    @example("4242424242424242")
    @example("4242_4242_4242_4242")
    @example("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627")
    @example("UK")
    def try_it(text: str) -> None:
        spec = {**ORDER, part: {**ORDER[part], name: text}}
        at_the_door, operator = admission.refusal(spec), by_the_operator(spec)
        assert bool(at_the_door) is bool(operator), (text, at_the_door, operator)
        assert not at_the_door or f"spec.{part}.{name}" in at_the_door
        assert not operator or f"spec.{part}.{name}" in operator

    try_it()


@pytest.fixture
def accepted_once(servers: Stack, admission: Admission) -> Iterator[str]:
    """Name of an order that an earlier release's CRD accepted, under the CRD of today."""
    today = yaml.safe_load((CRDS / "orders.yaml").read_text())
    earlier = copy.deepcopy(today)
    spec = earlier["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for field in ("customer", "shippingAddress", "payment"):
        for text in spec[field]["properties"].values():
            text.pop("x-kubernetes-validations", None)
    spec["payment"].pop("x-kubernetes-validations")
    address = {**ORDER["shippingAddress"], "name": " ", "line1": "\u200b", "country": "UK"}
    order = {**ORDER, "shippingAddress": address, "payment": {"method": "4242424242424242"}}
    body = {"apiVersion": API_VERSION, "kind": "Order", "metadata": {"name": "once"}, "spec": order}
    try:
        replace(servers, earlier)
        until(lambda: not admission.refusal(order))
        servers.kubectl("create", "--filename=-", input=json.dumps(body))
    finally:
        replace(servers, today)
    until(lambda: bool(admission.refusal(order)))
    yield "once"
    servers.kubectl("delete", ORDERS, "once", "--timeout=20s")


def replace(servers: Stack, crd: Spec) -> None:
    servers.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=json.dumps(crd))


def until(holds: Callable[[], bool]) -> None:
    """The API server takes a new schema in within a second or two."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_order_that_was_accepted_before_is_still_decided_about_cancelled_and_shown(
    servers: Stack, accepted_once: str
) -> None:
    def patch(change: Spec, *arguments: str) -> None:
        servers.kubectl("patch", ORDERS, accepted_once, "--type=merge", "-p", json.dumps(change), *arguments)

    address = json.loads(servers.kubectl("get", ORDERS, accepted_once, "-o", "jsonpath={.spec.shippingAddress}"))
    patch({"status": {"phase": "Waiting", "shippingAddress": address}}, "--subresource=status")
    patch({"metadata": {"finalizers": ["order-platform.dev/compensation"]}})
    patch({"spec": {"approval": {"decision": "Approved", "by": "bob"}}})
    patch({"spec": {"cancellation": {"by": "ana"}, "suspend": True}})
    patch({"status": {"phase": "Cancelled"}}, "--subresource=status")
    patch({"metadata": {"finalizers": None}})

    with pytest.raises(CommandFailed, match="GB is meant"):
        servers.kubectl("create", "--filename=-", input=json.dumps(again(servers, accepted_once)))


def again(servers: Stack, name: str) -> Spec:
    """The same order under another name: that is a new one."""
    stored: Spec = json.loads(servers.kubectl("get", ORDERS, name, "-o", "json"))
    return {**{key: stored[key] for key in ("apiVersion", "kind", "spec")}, "metadata": {"name": "twice"}}
