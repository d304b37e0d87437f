"""What it means when Temporal lets nobody in, in sentences that name the setting to look at."""

import re

from temporalio.service import RPCError, RPCStatusCode

NOT_ACCEPTED = "Temporal does not accept the API key or certificate: renew it"
NOT_ALLOWED = (
    "Temporal does not allow this: the API key or certificate is wrong or has ended, or its identity lacks the rights "
    "of a writer in the namespace"
)
NO_NAMESPACE = "Temporal does not have the namespace: create it, or correct TEMPORAL_NAMESPACE"
CLOSED = (
    "Temporal closes the connection: it asks for TLS (TEMPORAL_TLS), or for a certificate of an authority that it "
    "trusts (TEMPORAL_TLS_CLIENT_CERT_PATH)"
)
_STATUSES = {
    RPCStatusCode.UNAUTHENTICATED: NOT_ACCEPTED,
    RPCStatusCode.PERMISSION_DENIED: NOT_ALLOWED,
    RPCStatusCode.NOT_FOUND: NO_NAMESPACE,
}
_TEXTS = {
    "code: Unauthenticated": NOT_ACCEPTED,
    "code: PermissionDenied": NOT_ALLOWED,
    "code: NotFound": NO_NAMESPACE,
    "UnknownIssuer": "Temporal's certificate is of an authority that is not known here: set "
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
    "NotValidForName": "Temporal's certificate is for another name: set TEMPORAL_TLS_SERVER_NAME",
    r"InvalidCertificate\(Expired": "Temporal's certificate has ended: have it renewed",
    "InvalidContentType|corrupt message": "Temporal speaks no TLS there: set TEMPORAL_TLS=false, or another address",
    "CertificateRequired|UnknownCA|BadCertificate|CertificateExpired": CLOSED,
    "connection closed|connection was not ready|BrokenPipe|ConnectionReset": CLOSED,
}
"""What the SDK's own errors hold, which have no status."""


def refusal(failed: BaseException) -> str | None:
    """Why Temporal does not let the program in; None for everything else, such as a server that is away."""
    each: BaseException | None = failed
    while each is not None:  # a worker that failed tells why in its cause
        if isinstance(each, RPCError):
            return _STATUSES.get(each.status)
        if isinstance(each, RuntimeError):
            text = str(each)
            for pattern, sentence in _TEXTS.items():
                if re.search(pattern, text):
                    return sentence
        each = each.__cause__
    return None
