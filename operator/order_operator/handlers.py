"""Every hook of kopf. kopf connects, watches and stops; it keeps no state, writes nothing, and is shown no object."""

from collections.abc import Mapping
from typing import Any

import kopf

from order_operator.cluster.api_names import GROUP, ORDER_CLASSES, ORDERS, STOCK_ITEMS, VERSION
from order_operator.kopf_answers import Deliver, Kind, answers_for
from order_operator.kopf_login import Answered, login
from order_operator.watch_liveness import RECONNECT_SECONDS


def registry_of_resources(orders: Kind, stock: Kind, deliver: Deliver, answered: Answered) -> kopf.OperatorRegistry:
    """Of what lives in namespaces."""
    return _registry({ORDERS: orders, STOCK_ITEMS: stock}, deliver, answered)


def registry_of_classes(changed: Kind, deliver: Deliver, answered: Answered) -> kopf.OperatorRegistry:
    """Of OrderClasses."""
    return _registry({ORDER_CLASSES: changed}, deliver, answered)


def _registry(kinds: Mapping[str, Kind], deliver: Deliver, answered: Answered) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login")(login(answered, answers_for(kinds, deliver)))
    for plural in kinds:

        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)
        async def seen(**_: Any) -> None:
            """kopf watches what has a handler. The objects were taken before (`kopf_answers.py`)."""

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Why these: docs/decisions/0001-event-fed-queue.md, 0022-a-watch-asks-anew-every-minute.md."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = RECONNECT_SECONDS
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (1, 1, 2, 3, 5)
    return settings
