"""Messages of every kind that a client of Temporal can send, well-formed or not."""

import json
from typing import Any, NamedTuple

from builders import a_line, an_address
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from order_workflows import contract


class Sent(NamedTuple):
    """One message. What it carries is what goes over the wire."""

    name: str
    payloads: tuple[Payload, ...]

    @property
    def is_update(self) -> bool:
        """Otherwise it is a signal. `approve` is both; a signal of it has no argument."""
        return self.name in UPDATES and not (self.name == contract.SIGNAL_APPROVE and not self.payloads)

    @property
    def arguments(self) -> list[RawValue]:
        """For a client that sends them as they are."""
        return [RawValue(payload) for payload in self.payloads]


def as_json(value: Any) -> Payload:
    """A half of a surrogate pair is escaped, as some JSON writers do."""
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def encoded(encoding: bytes, data: bytes, **metadata: bytes) -> Payload:
    """Any payload."""
    return Payload(metadata={"encoding": encoding, **metadata}, data=data)


UPDATES: dict[str, Any] = {
    contract.UPDATE_APPROVE: {"by": "ana", "reason": "known", "generation": 1, "totalMinor": 150_000, "requester": "b"},
    contract.UPDATE_REJECT: {"by": "ana", "channel": "kubernetes", "currency": "USD", "digest": "0" * 16},
    contract.UPDATE_CHANGE_ADDRESS: {"address": an_address().model_dump(), "generation": 2, "by": "ana"},
    contract.UPDATE_CHANGE_LINES: {
        "lines": [a_line(quantity=2).model_dump()],
        "charges": [{"chargeID": "ship", "kind": "Shipping", "amountMinor": 500, "description": "by air"}],
        "generation": 2,
    },
    contract.UPDATE_CANCEL: {"by": "ana", "reason": "late"},
    contract.UPDATE_SUSPEND: None,
    contract.UPDATE_RESUME: None,
    contract.UPDATE_RETRY: None,
    "no-such-update": {},
}
SIGNALS: dict[str, Any] = {
    contract.SIGNAL_APPROVE_ORDER: True,
    contract.SIGNAL_CANCEL_ORDER: {"by": "ana"},
    contract.SIGNAL_UPDATE_ADDRESS: an_address().model_dump(),
    contract.SIGNAL_STOCK_ARRIVED: None,
    contract.SIGNAL_ORPHAN: None,
    "no-such-signal": None,
}
ARGUMENTS = UPDATES | SIGNALS
"""What each takes, by its name; None: nothing."""

TEXTS = ("", " ", "x" * 2000, "a\0b", "a\nb\x7f", "\N{GRINNING FACE} \U00020bb7", "\ud800", "\u202egnp", "Discount")
NUMBERS = (-1, 0, 2**31, 2**63, 10**30, 10**4000, 1.5, float("nan"), float("inf"))
OTHERS: tuple[Any, ...] = (None, True, [], {}, [[]] * 10_000)
LEAVES = (*TEXTS, *NUMBERS, *OTHERS)

RAW = (
    encoded(b"binary/plain", b"\xff\0raw"),
    encoded(b"binary/null", b""),
    encoded(b"binary/null", b"not null"),
    encoded(b"json/plain", b"{"),
    encoded(b"json/plain", b'{"by": "\xff"}'),
    encoded(b"json/plain", b"[" * 5000),
    encoded(b"json/protobuf", b"{}", messageType=b"google.protobuf.Duration"),
    encoded(b"json/protobuf", b"{}", messageType=b"no.such.Message"),
    encoded(b"binary/protobuf", b"\x08", messageType=b"temporal.api.common.v1.Payload"),
    encoded(b"no/such", b"x"),
    Payload(data=b"without an encoding"),
)


def altered(value: Any, leaf: Any) -> list[Any]:
    """`value` with `leaf` in the place of each of its parts in turn, and of itself."""
    changed: list[Any] = [leaf]
    if isinstance(value, dict):
        for key, part in value.items():
            changed += [value | {key: other} for other in altered(part, leaf)]
    if isinstance(value, list) and value:
        changed += [[other] for other in altered(value[0], leaf)]
    return changed


def every_unreadable_one(name: str) -> list[Sent]:
    """Other than the declared number of arguments, and each payload that is no JSON of the declared type."""
    argument = ARGUMENTS[name]
    usual = as_json(argument)
    wrong_number = [(usual,)] if argument is None else [()]
    wrong = [*wrong_number, (usual, usual), (usual, usual, usual), *((raw,) for raw in RAW)]
    return [Sent(name, payloads) for payloads in wrong]


def every_odd_one(name: str) -> list[Sent]:
    """Each odd text, number and structure in the place of each part of the argument."""
    argument = ARGUMENTS[name]
    values = [] if argument is None else [value for leaf in LEAVES for value in altered(argument, leaf)]
    return [Sent(name, (as_json(value),)) for value in values]


texts = st.sampled_from(TEXTS) | st.text(max_size=40)
json_values = st.recursive(
    texts | st.sampled_from(NUMBERS) | st.integers() | st.none() | st.booleans(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=8,
)
payloads = json_values.map(as_json) | st.sampled_from(RAW) | st.binary(max_size=20).map(lambda d: encoded(b"x", d))


@st.composite
def _message(draw: st.DrawFn) -> Sent:
    name = draw(st.sampled_from(sorted(ARGUMENTS)))
    argument = ARGUMENTS[name]
    well_formed = () if argument is None else (as_json(argument),)
    odd = st.lists(payloads, max_size=3).map(tuple)
    choices = [st.just(well_formed), odd]
    if argument is not None:
        choices.append(
            json_values.flatmap(lambda leaf: st.sampled_from(altered(argument, leaf))).map(lambda v: (as_json(v),))
        )
    return Sent(name, draw(st.one_of(choices)))


bursts = st.lists(_message(), min_size=5, max_size=30)
