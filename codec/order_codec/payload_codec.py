"""The codec that Temporal's SDK calls for every payload that leaves or enters a program.

It runs outside of workflows' code, also when they are replayed, and changes nothing that the code sees.
"""

import logging
from collections.abc import Sequence
from typing import Self

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec, SerializationContext, WithSerializationContext

from order_codec import envelope
from order_codec.key_ring import KeyRing
from order_codec.scope import fits, kubernetes_namespace_of, scope_of
from order_codec.undecodable import Refused

LOG = logging.getLogger(__name__)


class EncryptingCodec(PayloadCodec, WithSerializationContext):
    """Reads what is encrypted and what is not, so that programs can be rolled out in any order; writes encrypted
    payloads if `write`.

    A key that is missing is an error: the SDK tries the task again, and it succeeds once the key is back. What is
    refused for good is an error too, or with `leave_refused` it is handed on as it is: no converter knows it, and a
    forged message is dropped as every other unreadable one, instead of holding up its workflow.
    """

    def __init__(self, ring: KeyRing, *, write: bool, leave_refused: bool = False, scope: str | None = None) -> None:
        self.ring = ring
        self.write = write
        self._leave_refused = leave_refused
        self._scope = scope
        self._namespace = kubernetes_namespace_of(scope) if scope is not None else None

    def with_context(self, context: SerializationContext) -> Self:
        """The same for the payloads of one workflow or Nexus operation."""
        return self.at(scope_of(context))

    def at(self, scope: str | None) -> Self:
        """The same for the payloads of a scope; None where it is not known."""
        return type(self)(self.ring, write=self.write, leave_refused=self._leave_refused, scope=scope)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises KeyMissing, RuntimeError where it is not known what the payloads belong to."""
        if not self.write:
            return list(payloads)
        if self._scope is None:
            raise RuntimeError("a payload is not encrypted: the SDK does not tell which workflow it belongs to")
        key = self.ring.writing(self._namespace)
        return [envelope.seal(each, key, self._scope) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises Undecodable."""
        return [self._opened(each) if envelope.is_sealed(each) else each for each in payloads]

    def _opened(self, payload: Payload) -> Payload:
        try:
            return self._read(payload)
        except Refused as refused:
            if not self._leave_refused:
                raise
            LOG.warning("an encrypted payload is refused: %s", refused, extra={"scope": self._scope})
            return payload

    def _read(self, payload: Payload) -> Payload:
        scope = envelope.text_of(payload, envelope.SCOPE)
        if self._scope is not None and not fits(scope, self._scope):
            raise Refused(f"it was encrypted for {scope[:300]!r} and stands in {self._scope!r}")
        return envelope.open_sealed(payload, self.ring.reading(envelope.text_of(payload, envelope.KEY_ID)))
