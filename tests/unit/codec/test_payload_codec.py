"""What the codec reads, what it refuses, and what nobody can read without a key."""

import zlib
from pathlib import Path

import pytest
from encryption_keys import ring_file
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    NexusSerializationContext,
    WorkflowSerializationContext,
)

from order_codec import envelope
from order_codec.key_ring import KeyRing
from order_codec.payload_codec import EncryptingCodec
from order_codec.undecodable import KeyMissing, Refused, Undecodable

ORDER = WorkflowSerializationContext("default", "order/shop/first/uid-1")
OTHER_ORDER = WorkflowSerializationContext("default", "order/shop/second/uid-2")
SHIPMENT = WorkflowSerializationContext("shipping", "shipment/shop/first/uid-1/1")
NEXUS = NexusSerializationContext("shipping-endpoint", "shipping-service", "ship-item")
NAME = Payload(metadata={"encoding": b"json/plain"}, data=b'"Ana Torres"')
LONG = Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"Ana Torres " * 200 + b'"')


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(ring_file(tmp_path, "2026-11", "2026-10"), {"tenant": "2026-10"})


@pytest.fixture
def codec(ring: KeyRing) -> EncryptingCodec:
    return EncryptingCodec(ring, write=True)


@pytest.fixture(scope="module")
def lasting_codec(tmp_path_factory: pytest.TempPathFactory) -> EncryptingCodec:
    return EncryptingCodec(KeyRing(ring_file(tmp_path_factory.mktemp("ring"), "2026-11")), write=True)


async def sealed(codec: EncryptingCodec, payload: Payload = NAME) -> Payload:
    (found,) = await codec.with_context(ORDER).encode([payload])
    return found


async def test_what_was_encrypted_is_read_again_by_the_same_workflow(codec: EncryptingCodec) -> None:
    payload = await sealed(codec)

    assert await codec.with_context(ORDER).decode([payload]) == [NAME]
    assert b"Ana" not in payload.SerializeToString()


async def test_an_activity_of_the_workflow_reads_it_as_well(codec: EncryptingCodec) -> None:
    activity = ActivitySerializationContext(
        "default", "1", "charge", "orders", ORDER.workflow_id, "Order", is_local=True
    )

    assert await codec.with_context(activity).decode([await sealed(codec)]) == [NAME]


async def test_a_payload_copied_into_another_orders_history_is_refused(codec: EncryptingCodec) -> None:
    with pytest.raises(Refused, match=r"order/shop/first/uid-1.*stands in.*order/shop/second/uid-2"):
        await codec.with_context(OTHER_ORDER).decode([await sealed(codec)])


async def test_a_payload_that_is_relabelled_for_another_order_is_refused(codec: EncryptingCodec) -> None:
    payload = await sealed(codec)
    payload.metadata[envelope.SCOPE] = b"workflow:default/order/shop/second/uid-2"

    with pytest.raises(Refused, match="changed"):
        await codec.with_context(OTHER_ORDER).decode([payload])


async def test_every_changed_byte_is_noticed(codec: EncryptingCodec) -> None:
    payload = await sealed(codec)
    for position in range(len(payload.data)):
        changed = bytearray(payload.data)
        changed[position] ^= 1
        forged = Payload(metadata=payload.metadata, data=bytes(changed))
        with pytest.raises(Refused):
            await codec.with_context(ORDER).decode([forged])


async def test_what_is_not_encrypted_passes_unchanged(codec: EncryptingCodec) -> None:
    assert await codec.with_context(ORDER).decode([NAME, LONG]) == [NAME, LONG]


async def test_a_reader_that_does_not_write_yet_reads_both(codec: EncryptingCodec, ring: KeyRing) -> None:
    reader = EncryptingCodec(ring, write=False).with_context(ORDER)

    assert await reader.encode([NAME]) == [NAME]
    assert await reader.decode([await sealed(codec), NAME]) == [NAME, NAME]


async def test_without_keys_the_missing_one_is_named(codec: EncryptingCodec) -> None:
    reader = EncryptingCodec(KeyRing(None), write=False).with_context(ORDER)

    with pytest.raises(KeyMissing, match=r"'2026-11'.*not in this program's key ring"):
        await reader.decode([await sealed(codec)])


async def test_a_worker_hands_on_a_forged_payload_as_it_is_and_waits_for_a_missing_key(
    codec: EncryptingCodec, ring: KeyRing
) -> None:
    worker = EncryptingCodec(ring, write=True, leave_refused=True)
    payload = await sealed(codec)
    forged = Payload(metadata=payload.metadata, data=b"forged, and long enough for a nonce and a tag")
    lost = Payload(metadata={**payload.metadata, envelope.KEY_ID: b"2020-01"}, data=payload.data)

    assert await worker.with_context(ORDER).decode([forged]) == [forged]
    assert await worker.with_context(OTHER_ORDER).decode([payload]) == [payload]
    with pytest.raises(KeyMissing, match="2020-01"):
        await worker.with_context(ORDER).decode([lost])


async def test_a_version_of_a_later_release_is_no_forgery(codec: EncryptingCodec, ring: KeyRing) -> None:
    """It becomes readable, so nobody may drop it."""
    payload = await sealed(codec)
    payload.metadata[envelope.VERSION] = b"2"

    with pytest.raises(Undecodable, match="newer") as raised:
        await EncryptingCodec(ring, write=True, leave_refused=True).with_context(ORDER).decode([payload])
    assert not isinstance(raised.value, Refused)


async def test_a_scope_of_any_length_is_refused_before_it_is_kept(codec: EncryptingCodec, ring: KeyRing) -> None:
    """The codec server opens what anybody sends."""
    payload = await sealed(codec)
    payload.metadata[envelope.SCOPE] += b"x" * envelope.MOST_SCOPE

    with pytest.raises(Refused, match="longer than any"):
        envelope.open_sealed(payload, ring.reading("2026-11"))


async def test_nothing_is_written_where_nobody_knows_what_it_belongs_to(codec: EncryptingCodec) -> None:
    with pytest.raises(RuntimeError, match="not encrypted"):
        await codec.encode([NAME])


async def test_a_namespace_has_a_key_of_its_own(codec: EncryptingCodec) -> None:
    tenant = WorkflowSerializationContext("default", "order/tenant/first/uid-3")

    (payload,) = await codec.with_context(tenant).encode([NAME])

    assert payload.metadata[envelope.KEY_ID] == b"2026-10"
    assert (await sealed(codec)).metadata[envelope.KEY_ID] == b"2026-11"


async def test_a_nexus_operation_is_answered_at_once_or_by_the_workflow_behind_it(codec: EncryptingCodec) -> None:
    (asked,) = await codec.with_context(NEXUS).encode([NAME])
    (answered,) = await codec.with_context(SHIPMENT).encode([NAME])

    assert await codec.with_context(NEXUS).decode([asked, answered]) == [NAME, NAME]
    with pytest.raises(Refused):
        await codec.with_context(NEXUS).decode([await sealed(codec)])


async def test_long_payloads_are_compressed_before_they_are_encrypted(codec: EncryptingCodec) -> None:
    payload = await sealed(codec, LONG)

    assert len(payload.data) < len(LONG.data) / 4
    assert await codec.with_context(ORDER).decode([payload]) == [LONG]


async def test_what_unpacks_to_too_much_is_refused(ring: KeyRing) -> None:
    key = ring.reading("2026-11")
    scope = "workflow:default/order/shop/first/uid-1"
    bomb = b"\x01" + zlib.compress(bytes(envelope.MOST_BYTES + 1))
    nonce = bytes(envelope.NONCE_BYTES)
    data = nonce + key.cipher.encrypt(nonce, bomb, envelope._associated("2026-11", envelope.NEWEST, scope))
    metadata = {
        "encoding": envelope.ENCODING,
        envelope.KEY_ID: b"2026-11",
        envelope.SCOPE: scope.encode(),
        envelope.VERSION: envelope.NEWEST,
    }

    with pytest.raises(Refused, match="no payload"):
        envelope.open_sealed(Payload(metadata=metadata, data=data), key)


@given(data=st.binary(max_size=2000), encoding=st.binary(max_size=20), key=st.text(max_size=8))
async def test_any_payload_comes_back_as_it_was(
    lasting_codec: EncryptingCodec, data: bytes, encoding: bytes, key: str
) -> None:
    codec = lasting_codec.with_context(ORDER)
    payload = Payload(metadata={"encoding": encoding, key: b"x"}, data=data)

    (found,) = await codec.decode(await codec.encode([payload]))

    assert found == payload


@given(
    data=st.binary(max_size=200),
    fields=st.dictionaries(
        st.sampled_from([envelope.KEY_ID, envelope.SCOPE, envelope.VERSION]),
        st.one_of(
            st.binary(max_size=60), st.sampled_from([b"2026-11", b"1", b"workflow:default/order/shop/first/uid-1"])
        ),
    ),
)
async def test_no_foreign_bytes_end_in_anything_but_a_refusal(
    lasting_codec: EncryptingCodec, data: bytes, fields: dict[str, bytes]
) -> None:
    codec = lasting_codec.with_context(ORDER)

    with pytest.raises(Undecodable) as raised:
        await codec.decode([Payload(metadata={"encoding": envelope.ENCODING, **fields}, data=data)])
    assert len(str(raised.value)) < 1000
