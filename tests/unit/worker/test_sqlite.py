"""SQLite files are shared by several worker processes."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from order_worker import sqlite


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    together = Barrier(8)

    def journal_mode() -> str:
        connection = sqlite3.connect(tmp_path / "new.db")
        together.wait()
        sqlite.prepare(connection)
        mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
        connection.close()
        return mode

    with ThreadPoolExecutor(8) as pool:
        modes = [pool.submit(journal_mode) for _ in range(8)]
    assert {mode.result() for mode in modes} == {"wal"}


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "new.db")
    sqlite.prepare(connection)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "a power loss takes transactions back"
    connection.close()
