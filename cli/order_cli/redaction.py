"""What leaves the house in a report: no address, no mail address, no token."""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"
_MAIL = re.compile(r"[^\s@\"'<>,;:()\[\]]+@[^\s@\"'<>,;:()\[\]]+")
_ADDRESSES = {"shippingAddress"}
_KEPT_OF_AN_ADDRESS = {"country"}
_SECRETS = {"method", "token", "password", "secret", "value"}
"""`value` is that of an environment variable."""
_DROPPED = {"managedFields", "annotations"}
"""`kubectl apply` keeps the whole manifest in an annotation."""


def redacted(value: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """The same without them. `secrets` are texts that are known to be personal, wherever they occur."""
    if isinstance(value, Mapping):
        return {key: _field(key, item, secrets) for key, item in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        return [redacted(item, secrets) for item in value]
    return redacted_text(value, secrets) if isinstance(value, str) else value


def redacted_text(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Without mail addresses, and without what is known to be personal."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _MAIL.sub(HIDDEN, text)


def personal(order: Mapping[str, Any]) -> frozenset[str]:
    """Texts of an order that are about a person: messages and Events may repeat them."""
    found = set()
    for part in (order.get("spec") or {}, order.get("status") or {}):
        for key, value in (part.get("shippingAddress") or {}).items():
            if key not in _KEPT_OF_AN_ADDRESS and isinstance(value, str) and value:
                found.add(value)
    method = ((order.get("spec") or {}).get("payment") or {}).get("method")
    return frozenset({*found, *([method] if method else [])})


def _field(key: str, value: Any, secrets: frozenset[str]) -> Any:
    if key in _ADDRESSES and isinstance(value, Mapping):
        return {part: item if part in _KEPT_OF_AN_ADDRESS else HIDDEN for part, item in value.items()}
    if key in _SECRETS and isinstance(value, str):
        return HIDDEN
    return redacted(value, secrets)
