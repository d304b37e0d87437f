"""What the console answers: kubectl itself asks it, as if it were an API server, so that whatever the caller proves
themselves by, a token or a program of their kubeconfig, proves them there, and this program never sees it."""

import os
import ssl
from pathlib import Path

from order_cli.kubectl import Json, Kubectl, decoded
from order_cli.order import Order
from order_cli.problems import CommandError, UsageError

VARIABLE = "ORDER_CONSOLE_URL"
_KNOWN_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_AS_SOMEBODY_ELSE = ("--as=", "--as-group=", "--as-uid=")


def trail(kubectl: Kubectl, order: Order, console: str, *, verify: bool) -> Json:
    """The ledger's trail of the order: `entries`, and what `verify` found. Raises CommandError."""
    server = _address(console)
    if any(flag.startswith(_AS_SOMEBODY_ELSE) for flag in kubectl.flags.connection):
        raise UsageError("the console knows nobody by --as: ask as yourself")
    path = f"/orders/{order.namespace}/{order.name}/audit?format=json{'&verify=yes' if verify else ''}"
    asked = (f"--server={server}", f"--certificate-authority={_authorities()}", "get", "--raw", path)
    answers = decoded(kubectl.run(*asked))
    if len(answers) != 1 or "entries" not in answers[0]:
        raise CommandError(f"what answers at {server} is no console of this release")
    return answers[0]


def _address(console: str) -> str:
    address = (console or os.environ.get(VARIABLE, "")).rstrip("/")
    if not address:
        raise UsageError(f"where is the console? --console https://…, or {VARIABLE}")
    if not address.startswith("https://"):
        raise UsageError(f"{address}: kubectl gives its credentials to https:// addresses only")
    return address


def _authorities() -> str:
    """Whom this machine trusts: the cluster's own authority vouches for its API server, not for the console."""
    known = (ssl.get_default_verify_paths().cafile, *_KNOWN_AUTHORITIES)
    found = next((path for path in known if path and Path(path).is_file()), None)
    if found is None:
        raise CommandError("there are no certificates of authorities on this machine: SSL_CERT_FILE names the file")
    return found
