"""One payload, sealed: AES-256-GCM over the compressed payload, bound to its key, its version and its scope.

Everything of the payload is inside, its own metadata too. Outside stands, as metadata, what a reader needs: how it is
encoded, the key's id and the scope. These are sealed as associated data, so that none can be exchanged.
"""

import json
import os
import zlib
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload

from order_codec.key_ring import Key
from order_codec.undecodable import NewerVersion, Refused

ENCODING = b"binary/encrypted"
KEY_ID, SCOPE, VERSION = "encryption-key-id", "encryption-scope", "encryption-version"
NEWEST = b"1"
NONCE_BYTES = 12
COMPRESS_FROM_BYTES = 2048
"""Compression takes longer than all the rest, and most payloads of an order are smaller."""
MOST_SCOPE = 4096
"""Characters. Temporal takes ids of a thousand."""
MOST_BYTES = 64 * 1024 * 1024
"""Of a payload that is unpacked. Temporal takes two MB of a sealed one."""

_PLAIN, _DEFLATED = b"\x00", b"\x01"


def is_sealed(payload: Payload) -> bool:
    """Whether it says that it is encrypted."""
    return payload.metadata.get("encoding") == ENCODING


def text_of(payload: Payload, name: str) -> str:
    """A field of the metadata; empty if there is none. It is anybody's claim until the payload is opened."""
    return payload.metadata.get(name, b"").decode(errors="replace")


def seal(payload: Payload, key: Key, scope: str) -> Payload:
    """Only for a reader at `scope`."""
    content = payload.SerializeToString()
    body = _PLAIN + content
    if len(content) >= COMPRESS_FROM_BYTES:
        deflated = _DEFLATED + zlib.compress(content, level=1)
        body = min(body, deflated, key=len)
    nonce = os.urandom(NONCE_BYTES)
    sealed = key.cipher.encrypt(nonce, body, _associated(key.key_id, NEWEST, scope))
    metadata = {"encoding": ENCODING, KEY_ID: key.key_id.encode(), SCOPE: scope.encode(), VERSION: NEWEST}
    return Payload(metadata=metadata, data=nonce + sealed)


def open_sealed(payload: Payload, key: Key) -> Payload:
    """The payload inside. Raises Undecodable."""
    scope, version = text_of(payload, SCOPE), payload.metadata.get(VERSION, b"")
    if version != NEWEST:
        shown = text_of(payload, VERSION)[:16]
        raise NewerVersion(
            f"it is encrypted in version {shown!r}, which this release does not know: roll out a newer one"
        )
    if len(scope) > MOST_SCOPE:
        raise Refused("its scope is longer than any workflow's")
    nonce, sealed = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
    try:
        body = key.cipher.decrypt(nonce, sealed, _associated(key.key_id, version, scope))
    except (InvalidTag, ValueError):
        why = f"it does not fit the key {key.key_id!r}: it was changed, or a key of that name was another one then"
        raise Refused(why) from None
    try:
        content = _inflated(body[1:]) if body[:1] == _DEFLATED else body[1:]
        return Payload.FromString(content)
    except (zlib.error, DecodeError):
        raise Refused("what was encrypted is no payload") from None


def _inflated(deflated: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(deflated, MOST_BYTES)
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise zlib.error("too long, or cut off")
    return content


@lru_cache(maxsize=1024)  # the same for all payloads of a workflow
def _associated(key_id: str, version: bytes, scope: str) -> bytes:
    return json.dumps(["order-platform", version.decode(errors="replace"), key_id, scope]).encode()
