"""What the SDK says of a Temporal that lets nobody in, as a real server made it say, and what people read."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from order_process.temporal_refusals import NOT_ALLOWED, refusal

CONNECT = "Failed client connect: "
TRANSPORT = f"{CONNECT}Server connection error: tonic::transport::Error(Transport, "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            f"{CONNECT}`get_system_info` call error after connection: Status {{ code: PermissionDenied, message: ",
            "the API key or certificate is wrong or has ended",
        ),
        (
            f"{TRANSPORT}ConnectError(Custom {{ kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }}))",
            "set TEMPORAL_TLS_SERVER_CA_CERT_PATH",
        ),
        (
            f"{TRANSPORT}ConnectError(Custom {{ kind: InvalidData, error: InvalidCertificate(NotValidForNameContext",
            "set TEMPORAL_TLS_SERVER_NAME",
        ),
        (
            (
                f"{CONNECT}`get_system_info` call error after connection: Status {{ code: Cancelled, message: [...], "
                "source: Some(tonic::transport::Error(Transport, hyper::Error(Canceled, 'connection closed'))) }"
            ),
            "TEMPORAL_TLS_CLIENT_CERT_PATH",
        ),
        # How the same looks depends on who is quicker, the server's refusal or the client's first words.
        (f"{TRANSPORT}hyper::Error(Io, Custom {{ kind: BrokenPipe, error: 'stream closed' }}))) }}", "it asks for TLS"),
        (f'{TRANSPORT}hyper::Error(Canceled, "connection was not ready"))) }}', "it asks for TLS"),
        (f"{TRANSPORT}hyper::Error(Io, Kind(ConnectionReset)))) }}", "it asks for TLS"),
    ],
)
def test_a_connection_that_is_refused_names_what_to_set(text: str, sentence: str) -> None:
    assert sentence in str(refusal(RuntimeError(text)))


def test_a_worker_that_was_given_up_tells_why_in_its_cause() -> None:
    failed = RuntimeError("Activity worker failed")
    failed.__cause__ = RuntimeError(
        "Poll failure: Unhandled grpc error when polling: Status { code: PermissionDenied, "
    )

    assert refusal(failed) == NOT_ALLOWED


@pytest.mark.parametrize(
    "failed",
    [
        RuntimeError(f"{TRANSPORT}ConnectError(ConnectError('tcp connect error', Os {{ code: 111 }})))"),
        RPCError("tcp connect error", RPCStatusCode.UNAVAILABLE, b""),
        TimeoutError(),
        KeyError("code: PermissionDenied"),
    ],
)
def test_what_is_no_refusal_is_none(failed: Exception) -> None:
    assert refusal(failed) is None
