"""Memos and search attributes of anybody: what cannot be read is said to be unreadable, and nothing is raised."""

import pytest
from encryption_keys import ring_file
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client

from order_codec.settings import data_converter
from order_operator.orders.observation import MEMO_KEYS, decode
from order_operator.stock_items.run import decode_stock
from order_workflows.contract import MEMO_STOCK_SNAPSHOT, ORDER_CLUSTER, RunKey

PAYLOADS = st.builds(
    lambda encoding, metadata, data: Payload(metadata={**metadata, "encoding": encoding}, data=data),
    st.sampled_from(
        [b"json/plain", b"binary/encrypted", b"binary/null", b"binary/plain", b"json/protobuf", b"", b"\xff"]
    ),
    st.dictionaries(
        st.sampled_from(["encryption-key-id", "encryption-scope", "encryption-version"]), st.binary(max_size=8)
    ),
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"{}", b"[]", b"null", b'"x"', b"1e999", b'{"version": 1}', b'{"seq": "x", "status": 3}']),
    ),
)


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    keys = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path_factory.mktemp("ring"), "first"))}
    return await Client.connect("127.0.0.1:1", lazy=True, data_converter=data_converter(keys))


@settings(max_examples=300, deadline=None)
@given(
    memo=st.dictionaries(st.sampled_from([*MEMO_KEYS, MEMO_STOCK_SNAPSHOT, "uid", "other"]), PAYLOADS), cluster=PAYLOADS
)
async def test_no_memo_makes_the_operator_stumble(client: Client, memo: dict[str, Payload], cluster: Payload) -> None:
    row = WorkflowExecutionInfo(status=1)
    for name, payload in memo.items():
        row.memo.fields[name].CopyFrom(payload)
    row.search_attributes.indexed_fields[ORDER_CLUSTER.name].CopyFrom(cluster)

    row.execution.workflow_id = "order/shop/first/uid"
    observation = await decode(client, RunKey("shop", "first", "uid"), row)
    row.execution.workflow_id = "stock/here/PROD-001"
    stock = await decode_stock(client, row)

    assert observation.unreadable or observation.snapshot is not None or "order" not in memo
    assert len(observation.unreadable_because) < 1000
    assert stock is not None
