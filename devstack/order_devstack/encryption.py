"""Encryption of payloads inside the stack: its keys, and the codec server that the Web UI asks.

A stack with a file of keys encrypts, from then on: its histories are lost without.
"""

import base64
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from order_devstack.ports import HOST
from order_devstack.probes import http_ok
from order_devstack.processes import Service

CODEC_SERVER = "codec-server"
KEY_BYTES = 32


def is_on(root: Path) -> bool:
    """Whether this stack encrypts."""
    return _keys(root).exists()


def switch_on(root: Path) -> None:
    """For what is started from now on. Idempotent."""
    if is_on(root):
        return
    root.mkdir(parents=True, exist_ok=True)
    unfinished = _keys(root).with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(f"devstack-1: {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n")
    unfinished.replace(_keys(root))


def variables(root: Path) -> dict[str, str]:
    """Of operator and workers."""
    if not is_on(root):
        return {}
    return {"ORDER_ENCRYPTION_KEYS_FILE": str(_keys(root)), "ORDER_ENCRYPTION_WRITE": "true"}


def codec_endpoint(ports: Mapping[str, int]) -> str:
    """What Web UI and command line are told."""
    return f"http://{HOST}:{ports[CODEC_SERVER]}"


def codec_server(root: Path, ports: Mapping[str, int], environment: Mapping[str, str]) -> Service:
    """On a loopback port, for the person whose stack this is: it asks for no token."""
    pages = [f"http://{host}:{ports['temporal-ui']}" for host in (HOST, "localhost")]
    return Service(
        # -P: the current directory may hold folders named like packages.
        command=[sys.executable, "-P", "-m", "order_codec"],
        environment={
            **environment,
            **variables(root),
            "ORDER_CODEC_IDENTITY": "none",
            "ORDER_CODEC_LISTEN": f"{HOST}:{ports[CODEC_SERVER]}",
            "ORDER_CODEC_PROBES": f"{HOST}:{ports['codec-server-probes']}",
            "ORDER_CODEC_ORIGINS": ",".join(pages),
        },
        ports=[ports[CODEC_SERVER], ports["codec-server-probes"]],
        prepare=lambda: None,
        answers=lambda: http_ok(ports["codec-server-probes"], "/readyz"),
    )


def _keys(root: Path) -> Path:
    return root / "encryption-keys"
