import pytest

from order_operator.settings import Settings
from order_process.settings import Address, SettingsError


def settings(**environment: str) -> Settings:
    return Settings.from_environment({f"ORDER_OPERATOR_{name}": value for name, value in environment.items()})


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    found = settings()

    assert found.cluster == ""
    assert found.task_queue == "orders"
    assert found.namespaces == ()
    assert found.metrics == Address("0.0.0.0", 9090)  # noqa: S104 - the documented default
    assert found.probes == Address("0.0.0.0", 8080)  # noqa: S104
    assert found.lease_namespace == "order-platform"
    assert found.create_search_attributes


def test_namespaces_are_separated_by_commas() -> None:
    assert settings(NAMESPACES=" shop, ,outlet").namespaces == ("shop", "outlet")


def test_an_empty_address_switches_the_listener_off() -> None:
    assert settings(METRICS_ADDRESS="").metrics is None


def test_an_address_of_ip_version_6_is_written_in_brackets() -> None:
    assert settings(PROBES_ADDRESS="[::1]:8080").probes == Address("::1", 8080)


@pytest.mark.parametrize("name", ["METRICS_ADDRESS", "PROBES_ADDRESS"])
@pytest.mark.parametrize("text", ["9090", "host:", "host:http", "host:0", "host:65536"])
def test_an_address_that_cannot_be_used_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^ORDER_OPERATOR_{name} is '{text}': write <host>:<port>"):
        settings(**{name: text})


@pytest.mark.parametrize(("text", "value"), [("false", False), ("True", True), (" FALSE ", False), ("", True)])
def test_a_flag_is_true_or_false(text: str, value: bool) -> None:
    assert settings(CREATE_SEARCH_ATTRIBUTES=text).create_search_attributes is value


def test_a_flag_that_is_neither_names_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^ORDER_OPERATOR_CREATE_SEARCH_ATTRIBUTES is 'yes': write true or false"):
        settings(CREATE_SEARCH_ATTRIBUTES="yes")


def test_two_processes_of_one_host_have_different_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    first = Settings.from_environment({})
    monkeypatch.setattr("os.getpid", lambda: 2)

    assert Settings.from_environment({}).identity != first.identity
