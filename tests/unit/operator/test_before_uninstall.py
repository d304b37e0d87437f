"""What the command before an uninstall makes of a cluster in which something is gone already."""

from typing import Any

import pytest
from kubernetes.aio import client

from order_operator.commands.before_uninstall import Installation, OpenOrders, Uninstallation
from order_operator.commands.patience import Patience


class Gone:
    """Answers every question by 404."""

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> Any:
            raise client.ApiException(status=404, reason="Not Found")

        return answer


@pytest.mark.parametrize("wish", list(OpenOrders))
async def test_kinds_deployment_and_lease_that_are_gone_hold_nothing_up(
    wish: OpenOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for api in ("CustomObjectsApi", "AppsV1Api", "CoordinationV1Api"):
        monkeypatch.setattr(client, api, lambda _: Gone())
    said: list[str] = []
    installation = Installation((), "order-platform", "order-platform-operator", "order-platform-operator")

    gone = await Uninstallation(Gone(), installation, Patience(5), said.append).run(wish)  # type: ignore[arg-type]

    assert gone
    assert said == ["the operator is stopped"]
