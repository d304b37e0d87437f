"""Files of keys and certificates with anything in them: a sentence about the file, and nothing else, comes of them."""

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_devstack.certificates import Authority
from order_process import key_lines, temporal_access
from order_process.credential_expiry import lives
from order_process.settings import SettingsError

SIGNED = Authority.create("a private one").sign("client")
PEM = st.sampled_from(
    [SIGNED.certificate, SIGNED.key, b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"]
)
FILES = st.lists(PEM | st.binary(max_size=40), max_size=4).map(b"".join)
CLAIMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["exp", "iat"]), inner, max_size=2),
    max_leaves=4,
)
TOKENS = CLAIMS.map(lambda claims: b"head." + urlsafe_b64encode(json.dumps(claims).encode()) + b".signature")
WITHIN = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@WITHIN
@given(certificate=FILES, key=FILES, authority=FILES, api_key=TOKENS | FILES)
def test_what_a_program_is_to_show_to_temporal(
    tmp_path: Path, certificate: bytes, key: bytes, authority: bytes, api_key: bytes
) -> None:
    for name, content in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority), ("api-key", api_key)):
        (tmp_path / name).write_bytes(content)
    variables = {
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(tmp_path / "tls.crt"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(tmp_path / "tls.key"),
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(tmp_path / "ca.crt"),
        "TEMPORAL_API_KEY_FILE": str(tmp_path / "api-key"),
    }

    found: set[str] = set()
    refusal = ""
    try:
        found.update(lives(temporal_access.read(variables)))
    except SettingsError as refused:
        refusal = str(refused)

    assert {"certificate", "authority"} <= found or "TEMPORAL_" in refusal
    assert "PRIVATE KEY" not in refusal


@WITHIN
@given(content=TOKENS)
def test_an_api_key_that_looks_like_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "api-key").write_bytes(content)
    variables = {"TEMPORAL_CONFIG_FILE": os.devnull, "TEMPORAL_API_KEY_FILE": str(tmp_path / "api-key")}

    access = temporal_access.read(variables)

    assert access.api_key == content.decode()
    assert lives(access).keys() <= {"api_key"}


@WITHIN
@given(text=st.text(max_size=200) | st.from_regex(r"[a-z0-9]{1,4}: ?[A-Za-z0-9+/]{0,50}={0,2}\n?", fullmatch=True))
def test_a_ring_of_keys(text: str) -> None:
    keys: dict[str, bytes] = {}
    refusal = ""
    try:
        keys = key_lines.parse("ORDER_KEYS", text, least_bytes=32, most_bytes=32)
    except SettingsError as refused:
        refusal = str(refused)

    assert "ORDER_KEYS" in refusal or {len(key) for key in keys.values()} == {32}
