"""The data converter of a program: the SDK's, with the codec of whatever workflow its payloads belong to.

The SDK asks for the converter of a workflow or activity at each task, and several times for each command of a task: 94
times for an order. Its own `with_context` builds another payload converter each time, which takes more CPU than the
encryption. Here what was built for a scope is kept.
"""

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Self

from temporalio.converter import DataConverter, SerializationContext
from temporalio.service import GrpcCompression

from order_codec.payload_codec import EncryptingCodec
from order_codec.scope import scope_of

MOST_KEPT = 1024
"""Scopes, of one or two kilobytes each. An order needs one, and is worked at for seconds."""


class ScopedConverter(DataConverter):
    """Nothing but the codec in it depends on the context."""

    _at: Callable[[str | None], Self]

    def __post_init__(self) -> None:
        """Each converter that is made of this one shares what it keeps."""
        super().__post_init__()
        object.__setattr__(self, "_at", lru_cache(maxsize=MOST_KEPT)(self._made_for))

    def with_context(self, context: SerializationContext) -> Self:
        """The same for the payloads of one workflow or Nexus operation."""
        codec = self.payload_codec
        if isinstance(codec, EncryptingCodec) and codec.ring.is_empty:  # it makes no difference what they belong to
            return self
        return self._at(scope_of(context))

    def _made_for(self, scope: str | None) -> Self:
        made = copy.copy(self)
        if isinstance(self.payload_codec, EncryptingCodec):
            object.__setattr__(made, "payload_codec", self.payload_codec.at(scope))
        return made


def compression_of(converter: DataConverter) -> GrpcCompression:
    """What a connection is to do with messages that carry its payloads. What is encrypted does not shrink; trying takes
    CPU of the program and of the server for each call."""
    codec = converter.payload_codec
    encrypts = isinstance(codec, EncryptingCodec) and codec.write
    return GrpcCompression.NONE if encrypts else GrpcCompression.GZIP
