"""What a program makes of Temporal's variables and files: a connection, or a sentence."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.service import TLSConfig

from order_devstack.certificates import Authority, TokenKey
from order_process import temporal_access
from order_process.settings import SettingsError
from order_process.temporal_access import Access

NOTHING = {"TEMPORAL_CONFIG_FILE": "/dev/null"}
"""No profile of the machine."""
ENDED = timedelta(hours=-1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("a private one")


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> dict[str, str]:
    """The variables of a client with a certificate, a key and an authority, in files."""
    signed = authority.sign("client")
    for name, content in (
        ("ca.crt", authority.certificate),
        ("tls.crt", signed.certificate),
        ("tls.key", signed.key),
        ("api-key", b"secret\n"),
    ):
        (tmp_path / name).write_bytes(content)
    return {
        **NOTHING,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(tmp_path / "ca.crt"),
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(tmp_path / "tls.crt"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(tmp_path / "tls.key"),
        "TEMPORAL_API_KEY_FILE": str(tmp_path / "api-key"),
    }


def read(variables: Mapping[str, str], **others: str) -> Access:
    return temporal_access.read({**NOTHING, **variables, **others})


def test_without_a_word_it_is_the_local_server_in_the_clear() -> None:
    access = read({})

    assert (access.address, access.namespace, access.tls, access.api_key, access.flaw) == (
        "localhost:7233",
        "default",
        False,
        None,
        None,
    )


def test_a_key_brings_tls_along() -> None:
    assert read({}, TEMPORAL_API_KEY="secret").connect_arguments() == {
        "target_host": "localhost:7233",
        "namespace": "default",
        "tls": True,
        "api_key": "secret",
    }


def test_certificate_authority_name_and_key_of_the_file_are_shown(
    files: Mapping[str, str], authority: Authority
) -> None:
    access = read(files, TEMPORAL_TLS_SERVER_NAME="temporal.internal")

    assert isinstance(access.tls, TLSConfig)
    assert access.tls.server_root_ca_cert == authority.certificate
    assert access.tls.domain == "temporal.internal"
    assert access.tls.client_cert is not None
    assert (access.api_key, access.flaw) == ("secret", None)


def test_a_profile_says_the_same(tmp_path: Path, files: Mapping[str, str]) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text(
        f"""
        [profile.cloud]
        address = "cloud:7233"
        namespace = "shop"
        api_key = "of the profile"
        [profile.cloud.tls]
        server_ca_cert_path = "{files["TEMPORAL_TLS_SERVER_CA_CERT_PATH"]}"
        """
    )

    access = temporal_access.read({"TEMPORAL_CONFIG_FILE": str(profile), "TEMPORAL_PROFILE": "cloud"})

    assert (access.address, access.namespace, access.api_key) == ("cloud:7233", "shop", "of the profile")
    assert isinstance(access.tls, TLSConfig)


def test_the_file_of_the_key_wins_over_the_variable(files: Mapping[str, str]) -> None:
    assert read(files, TEMPORAL_API_KEY="of the variable").api_key == "secret"


def test_tls_can_be_switched_off_in_spite_of_a_key() -> None:
    assert read({}, TEMPORAL_API_KEY="secret", TEMPORAL_TLS="false").tls is False


@pytest.mark.parametrize(
    ("variable", "content", "sentence"),
    [
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", None, "tls.crt cannot be read: No such file or directory"),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", None, "tls.key cannot be read: No such file or directory"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", None, "ca.crt cannot be read: No such file or directory"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", b"hello", "that is no certificate in PEM"),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", b"hello", "that is no private key in PEM"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", b"", "that is no certificate in PEM"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_variable(
    files: Mapping[str, str], variable: str, content: bytes | None, sentence: str
) -> None:
    file = Path(files[variable])
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match=sentence) as refused:
        read(files)
    assert str(refused.value).startswith(variable)


def test_a_key_of_another_certificate_is_refused(files: Mapping[str, str], authority: Authority) -> None:
    Path(files["TEMPORAL_TLS_CLIENT_KEY_PATH"]).write_bytes(authority.sign("another").key)

    with pytest.raises(SettingsError, match="the key is not that of the certificate; replace both"):
        read(files)


def test_a_certificate_without_its_key_is_refused(files: Mapping[str, str]) -> None:
    with pytest.raises(SettingsError, match="belong together: set both"):
        read({name: value for name, value in files.items() if name != "TEMPORAL_TLS_CLIENT_KEY_PATH"})


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        read({}, TEMPORAL_PROFILE="nowhere")


def test_a_certificate_that_has_ended_is_a_flaw_with_its_date(files: Mapping[str, str], authority: Authority) -> None:
    ended = authority.sign("client", valid=ENDED)
    Path(files["TEMPORAL_TLS_CLIENT_CERT_PATH"]).write_bytes(ended.certificate)
    Path(files["TEMPORAL_TLS_CLIENT_KEY_PATH"]).write_bytes(ended.key)

    flaw = read(files).flaw

    assert flaw is not None
    assert flaw.startswith("TEMPORAL_TLS_CLIENT_CERT_PATH: the certificate ended on 2")
    assert flaw.endswith("UTC; renew it")


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), (b" \n", "is empty"), (b"a\nb", "one line")])
def test_a_key_that_is_not_there_is_a_flaw_and_no_key(
    files: Mapping[str, str], content: bytes | None, words: str
) -> None:
    file = Path(files["TEMPORAL_API_KEY_FILE"])
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    access = read(files)

    assert access.api_key is None
    assert isinstance(access.tls, TLSConfig)
    assert access.flaw is not None
    assert access.flaw.startswith("there is no API key for Temporal: TEMPORAL_API_KEY_FILE")
    assert words in access.flaw


def test_a_token_that_has_ended_is_a_flaw_with_its_date(files: Mapping[str, str]) -> None:
    Path(files["TEMPORAL_API_KEY_FILE"]).write_text(TokenKey("1").token("shop", ["default:write"], valid=ENDED))

    flaw = read(files).flaw

    assert flaw is not None
    assert flaw.startswith("the API key for Temporal ended on 2")
    assert flaw.endswith("replace it, TEMPORAL_API_KEY_FILE")


def test_nothing_that_is_said_repeats_a_secret(files: Mapping[str, str]) -> None:
    access = read(files)

    assert "secret" not in repr(access)
