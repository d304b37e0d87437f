"""The key ring of payloads, and how programs are told of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from encryption_keys import key_lines, ring_file
from temporalio.api.failure.v1 import Failure
from temporalio.converter import ActivitySerializationContext, DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.service import GrpcCompression

from order_codec import key_ring
from order_codec.converter import compression_of
from order_codec.key_ring import KeyRing
from order_codec.payload_codec import EncryptingCodec
from order_codec.settings import EncryptionSettings, data_converter
from order_codec.undecodable import KeyMissing, NewerVersion, Refused, Undecodable
from order_process.settings import SettingsError
from order_workflows.contract import UNREADABLE_YET


def test_the_first_key_is_written_with_and_all_are_read(tmp_path: Path) -> None:
    ring = KeyRing(ring_file(tmp_path, "new", "old"))

    assert ring.writing("shop").key_id == "new"
    assert ring.reading("old").key_id == "old"


def test_a_rotated_file_counts_without_a_restart(tmp_path: Path) -> None:
    ring = KeyRing(ring_file(tmp_path, "old"))
    before = ring.refresh()

    ring_file(tmp_path, "new", "old")

    assert ring.refresh() > before
    assert ring.writing(None).key_id == "new"
    assert ring.reading("old").key_id == "old"


def test_a_file_is_looked_at_once_a_second_and_at_once_for_a_key_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(key_ring, "time", SimpleNamespace(monotonic=lambda: now))
    ring = KeyRing(ring_file(tmp_path, "old"))

    ring_file(tmp_path, "new", "old")
    assert ring.writing(None).key_id == "old"
    assert ring.reading("new").key_id == "new"
    ring_file(tmp_path, "newest", "new", "old")
    now += key_ring.LOOK_SECONDS

    assert ring.writing(None).key_id == "newest"


@pytest.mark.parametrize("text", ["", "no key", "new: c2hvcnQ=\n"])
def test_a_file_that_is_replaced_badly_changes_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = ring_file(tmp_path, "old")
    ring = KeyRing(file)

    file.write_text(text)
    ring.refresh()

    assert ring.writing(None).key_id == "old"
    assert "not read again" in caplog.text


def test_an_id_never_becomes_another_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a workflow refused once it must refuse when it is replayed."""
    file = ring_file(tmp_path, "old")
    ring = KeyRing(file)

    file.write_text(key_lines("other").replace("other", "old") + key_lines("new"))
    ring.refresh()

    assert ring.writing(None).key_id == "old"
    with pytest.raises(KeyMissing):
        ring.reading("new")
    assert "give a new key a new id" in caplog.text


def test_a_namespaces_key_that_is_not_there_is_named_and_no_other_is_used(tmp_path: Path) -> None:
    ring = KeyRing(ring_file(tmp_path, "all"), {"tenant": "tenant-1"})

    with pytest.raises(KeyMissing, match="tenant-1"):
        ring.writing("tenant")
    assert ring.writing("shop").key_id == "all"


def test_no_message_and_no_text_of_a_ring_shows_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = ring_file(tmp_path, "old")
    secret = file.read_text().split(": ")[1].strip()
    ring = KeyRing(file)
    file.write_text(f"old: {secret[:-8]}\n")
    ring.refresh()

    assert secret[:12] not in f"{caplog.text} {ring.reading('old')!r} {ring!r}"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ORDER_ENCRYPTION_KEYS_FILE": "/not/there"}, "ORDER_ENCRYPTION_KEYS_FILE cannot be read"),
        ({"ORDER_ENCRYPTION_WRITE": "true"}, "need ORDER_ENCRYPTION_KEYS_FILE"),
        ({"ORDER_ENCRYPTION_NAMESPACES": "shop"}, "write <namespace>=<key id>"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_a_sentence(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        data_converter(variables)


def test_a_mapping_of_namespaces_is_read(tmp_path: Path) -> None:
    variables = {
        "ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all", "tenant-1")),
        "ORDER_ENCRYPTION_NAMESPACES": "tenant=tenant-1, other=all",
    }

    assert EncryptionSettings.from_environment(variables).namespaces == {"tenant": "tenant-1", "other": "all"}


def test_failures_are_encrypted_as_soon_as_payloads_are_written_so(tmp_path: Path) -> None:
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all"))}

    reading, writing = data_converter(variables), data_converter({**variables, "ORDER_ENCRYPTION_WRITE": "true"})

    assert failure_of(reading, ValueError("Ana")).message == "Ana"
    assert "Ana" not in failure_of(writing, ValueError("Ana")).message
    assert isinstance(reading.payload_codec, EncryptingCodec)


@pytest.mark.parametrize("missing", [KeyMissing("lost"), NewerVersion("roll out a newer release")])
def test_a_failure_for_want_of_a_key_is_read_without_one(tmp_path: Path, missing: Undecodable) -> None:
    """The program may lack the key to write with, too. As the SDK tells of an activity that cannot be read."""
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all")), "ORDER_ENCRYPTION_WRITE": "true"}
    told = ApplicationError("Failed decoding arguments")
    told.__cause__ = missing

    failure = failure_of(data_converter(variables), told)

    assert not failure.HasField("encoded_attributes")
    assert failure.cause.message == str(missing)
    assert failure.cause.application_failure_info.type in UNREADABLE_YET


def failure_of(converter: DataConverter, error: Exception) -> Failure:
    """As Temporal gets it, before the codec."""
    failure = Failure()
    converter.failure_converter.to_failure(error, converter.payload_converter, failure)
    return failure


def test_a_converter_is_made_once_for_each_workflow(tmp_path: Path) -> None:
    """The SDK asks for it 94 times for an order."""
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all")), "ORDER_ENCRYPTION_WRITE": "true"}
    converter = data_converter(variables)
    order, other = (WorkflowSerializationContext("default", f"order/shop/{name}/uid") for name in ("one", "two"))
    activity = ActivitySerializationContext(
        "default", "1", "charge_payment", "orders", order.workflow_id, "OrderWorkflow", is_local=False
    )

    of_order = converter.with_context(order)

    assert of_order.with_context(activity) is of_order
    assert converter.with_context(other).with_context(order) is of_order
    assert converter.with_context(other) is not of_order
    assert of_order.payload_converter is converter.payload_converter


def test_a_connection_does_not_try_to_shrink_what_is_encrypted(tmp_path: Path) -> None:
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all"))}

    assert compression_of(data_converter({})) is GrpcCompression.GZIP
    assert compression_of(data_converter(variables)) is GrpcCompression.GZIP
    assert compression_of(data_converter({**variables, "ORDER_ENCRYPTION_WRITE": "true"})) is GrpcCompression.NONE


async def test_converters_of_two_workflows_read_nothing_of_each_other(tmp_path: Path) -> None:
    variables = {"ORDER_ENCRYPTION_KEYS_FILE": str(ring_file(tmp_path, "all")), "ORDER_ENCRYPTION_WRITE": "true"}
    converter = data_converter(variables)
    order, other = (
        converter.with_context(WorkflowSerializationContext("default", f"order/shop/{name}/uid"))
        for name in ("one", "two")
    )

    sealed = await order.encode(["Ana"])

    assert await order.decode(sealed) == ["Ana"]
    with pytest.raises(Refused):
        await other.decode(sealed)
