"""Short questions to a server: does it answer?"""

import http.client
import ssl
from pathlib import Path

from order_devstack.ports import HOST

_TIMEOUT_SECONDS = 3.0


def http_ok(port: int, path: str, *, ca: Path | None = None, token: str | None = None) -> bool:
    """Whether GET `path` gives 200; over TLS, trusting `ca`, if that is given. Never raises."""
    try:
        if ca:
            context = ssl.create_default_context(cafile=ca)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                HOST, port, timeout=_TIMEOUT_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
