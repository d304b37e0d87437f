"""What the process itself uses, under the names that every Prometheus client gives it: the SDK's endpoint has none."""

import resource
import time
from pathlib import Path

from temporalio.common import MetricMeter

_SELF = Path("/proc/self")
_PAGE_BYTES = resource.getpagesize()
_STARTED = time.time()


class ProcessMetrics:
    """Set from time to time; on a system without /proc only the CPU is known."""

    def __init__(self, meter: MetricMeter) -> None:
        self._cpu = meter.create_gauge_float(
            "process_cpu_seconds_total", "CPU time of the worker, of the user and the system."
        )
        self._resident = meter.create_gauge("process_resident_memory_bytes", "Resident memory of the worker.")
        self._virtual = meter.create_gauge("process_virtual_memory_bytes", "Virtual memory of the worker.")
        self._open_files = meter.create_gauge("process_open_fds", "Files and sockets that the worker has open.")
        self._most_files = meter.create_gauge("process_max_fds", "How many of them it may have open.")
        meter.create_gauge_float("process_start_time_seconds", "When the worker started, since the epoch.").set(
            _STARTED
        )

    def look(self) -> None:
        """Once."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu.set(used.ru_utime + used.ru_stime)
        self._most_files.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        try:
            virtual, resident = (_SELF / "statm").read_text().split()[:2]
            self._open_files.set(sum(1 for _ in (_SELF / "fd").iterdir()))
        except OSError:
            return
        self._virtual.set(int(virtual) * _PAGE_BYTES)
        self._resident.set(int(resident) * _PAGE_BYTES)
