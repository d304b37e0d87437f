"""What the commands make of a list of Orders that is answered by 404."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.aio import client

from order_operator.cluster.api_names import GROUP, ORDERS
from order_operator.commands.order_list import all_orders
from order_operator.commands.patience import Patience


class Server:
    """Has no list of Orders. `groups` and `kinds` are what it says that it serves; None: it answers 404 to that too."""

    def __init__(self, groups: list[str] | None, kinds: list[str] | None = None) -> None:
        self.api_client = self
        self._groups, self._kinds = groups, kinds

    @staticmethod
    def _named(names: list[str] | None) -> list[SimpleNamespace]:
        if names is None:
            raise client.ApiException(status=404, reason="Not Found")
        return [SimpleNamespace(name=name) for name in names]

    async def list_cluster_custom_object(self, *_: Any, **__: Any) -> None:
        raise client.ApiException(status=404, reason="Not Found")

    async def get_api_versions(self) -> Any:
        return SimpleNamespace(groups=self._named(self._groups))

    async def get_api_resources(self, *_: str) -> Any:
        return SimpleNamespace(resources=self._named(self._kinds))


async def orders(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(client, "ApisApi", lambda _: server)
    return [order async for order in all_orders(cast("client.CustomObjectsApi", server), (), Patience(5))]


@pytest.mark.parametrize(
    "server", [Server(["apps"]), Server(["apps", GROUP], ["stockitems"])], ids=["no kind of ours", "no Orders"]
)
async def test_there_is_no_order_where_the_api_server_says_that_there_is_no_such_kind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await orders(server, monkeypatch) == []


@pytest.mark.parametrize(
    "server",
    [Server(None), Server([GROUP]), Server([GROUP], [ORDERS])],
    ids=["a proxy", "one that hides the kinds", "one that serves the kind"],
)
async def test_a_404_of_somebody_else_does_not_say_that_there_is_no_order(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command before an uninstall said that no order was open, and a customer's data were said to be gone."""
    with pytest.raises(client.ApiException):
        await orders(server, monkeypatch)
