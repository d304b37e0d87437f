"""Short questions to a server: does it answer?"""

import http.client
import socket
import ssl
from pathlib import Path

from order_devstack.ports import HOST

_TIMEOUT_SECONDS = 3.0


def listens(port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection((HOST, port), _TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def http_ok(port: int, path: str, *, ca: Path | None = None, token: str | None = None) -> bool:
    """Whether GET `path` gives 200; over TLS, trusting `ca`, if that is given. Never raises."""
    try:
        return http_get(port, path, ca=ca, token=token)[0] == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def http_get(
    port: int, path: str, *, ca: Path | None = None, token: str | None = None, within_seconds: float = _TIMEOUT_SECONDS
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises OSError or HTTPException if there is none."""
    if ca:
        context = ssl.create_default_context(cafile=ca)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            HOST, port, timeout=within_seconds, context=context
        )
    else:
        connection = http.client.HTTPConnection(HOST, port, timeout=within_seconds)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
