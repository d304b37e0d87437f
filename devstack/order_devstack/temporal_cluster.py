"""Temporal's configuration of a production server that is a cluster of its own, with no other beside it."""

from typing import Any


def alone(rpc_address: str, http_address: str | None = None) -> dict[str, Any]:
    """For the server's file. The addresses are those of the frontend that its own services call; `http_address` is
    where answers of Nexus operations come in, if they do."""
    addresses = {"rpcAddress": rpc_address} | ({} if http_address is None else {"httpAddress": http_address})
    return {
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {"enabled": True, "initialFailoverVersion": 1, "rpcName": "frontend", **addresses}
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
    }
