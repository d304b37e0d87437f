"""Messages of any client: every JSON is decoded, and what is wrong with it is said where it is judged."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_workflows.contract import (
    AddressChange,
    Adoption,
    CancelRequest,
    Decision,
    LinesChange,
    Message,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "by",
    "reason",
    "generation",
    "totalMinor",
    "digest",
    "address",
    "lines",
    "charges",
    "uid",
    "cluster",
    "channel",
]
MESSAGES = st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON))


@pytest.mark.parametrize(
    "kind", [Decision, AddressChange, LinesChange, CancelRequest, Adoption], ids=lambda kind: kind.__name__
)
@settings(max_examples=150, deadline=None)
@given(content=MESSAGES)
def test_no_message_raises_when_it_is_decoded(kind: type[Message], content: object) -> None:
    message = kind.model_validate_json(json.dumps(content))

    assert message.unreadable is None or len(message.unreadable) < 2000
