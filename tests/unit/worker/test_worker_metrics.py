"""What a worker's endpoint serves before anything has happened, and what of its ledger it tells."""

import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine
from temporalio.common import MetricMeter
from temporalio.runtime import Runtime

from order_worker import metrics
from order_worker.ledger.audit_writes import APPENDED, AuditWrites
from order_worker.ledger.connections import connect
from order_worker.metrics import CREATED_AT_ZERO, Metrics
from order_worker.process_metrics import ProcessMetrics


class Endpoint:
    """Of one runtime of the SDK."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._runtime: Runtime = metrics.runtime(self._address, labels)  # the endpoint lives as long as this
        self.meter: MetricMeter = self._runtime.metric_meter

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        with urllib.request.urlopen(f"http://{self._address}/metrics", timeout=5) as page:
            families = text_string_to_metric_families(page.read().decode())
            return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_what_may_be_counted_is_there_at_zero_from_the_start() -> None:
    endpoint = Endpoint()
    Metrics(endpoint.meter).create_at_zero()

    wanted = {(f"{name}_total", frozenset(each.items())) for name, sets in CREATED_AT_ZERO.items() for each in sets}
    assert {key: endpoint.samples().get(key) for key in wanted} == dict.fromkeys(wanted, 0.0)


def test_every_series_of_a_worker_with_a_build_id_carries_it() -> None:
    endpoint = Endpoint({"temporal_worker_build_id": "build-7"})
    Metrics(endpoint.meter).build_info("1.2.3", "build-7", "1.35.0", "orders")

    [(name, labels)] = endpoint.samples()
    assert name == "orders_worker_build_info"
    assert {("temporal_worker_build_id", "build-7"), ("build_id", "build-7"), ("task_queue", "orders")} <= labels


def test_a_worker_tells_what_its_process_uses() -> None:
    endpoint = Endpoint()
    process = ProcessMetrics(endpoint.meter)

    process.look()

    used = {name: value for (name, _), value in endpoint.samples().items()}
    assert used["process_resident_memory_bytes"] > 1_000_000
    assert used["process_open_fds"] < used["process_max_fds"]
    assert used["process_cpu_seconds_total"] > 0
    assert used["process_start_time_seconds"] > 1_700_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


def test_events_of_the_trail_count_as_written_once_their_transaction_is_committed(engine: Engine) -> None:
    writes = AuditWrites()
    with writes.transaction(engine) as connection:
        connection.info[APPENDED] += 2
    with suppress(ValueError), writes.transaction(engine) as connection:
        connection.info[APPENDED] += 1
        raise ValueError("refused")
    with writes.transaction(engine):
        pass

    assert writes.taken() == {"written": 2, "rolled_back": 1}
    assert writes.taken() == {"written": 0, "rolled_back": 0}
