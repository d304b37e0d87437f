"""The cluster itself: what it leaves behind, and whether two get in each other's way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from terminal import with_ctrl_c

from order_devstack.cluster import mount_points
from order_devstack.cluster.cluster import Cluster
from order_devstack.errors import DevstackError
from order_devstack.processes import State

pytestmark = pytest.mark.cluster

GONE_SECONDS = 10.0


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Cluster]:
    """A second cluster, beside the one that the other tests use."""
    cluster = Cluster(tmp_path / "another", say=lambda _: None)
    cluster.up()
    yield cluster
    cluster.down()


def holder(cluster: Cluster) -> psutil.Process:
    """The process that holds the namespaces."""
    return psutil.Process(int((cluster.root / "run" / "cluster.pid").read_text()))


def cgroups(pid: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/order-cluster-{pid}"))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_clusters_run_side_by_side(node: Cluster, another: Cluster) -> None:
    another.kubectl("create", "namespace", "only-here")

    assert "only-here" not in node.kubectl("get", "namespaces", "--output=name")
    assert node.kubectl("get", "nodes", "--output=name") == another.kubectl("get", "nodes", "--output=name")


def test_a_stopped_cluster_leaves_its_logs_and_nothing_else(node: Cluster, another: Cluster) -> None:
    pid = holder(another).pid
    processes = holder(another).children(recursive=True)

    another.down()

    assert {path.name for path in another.root.iterdir()} <= {"log", ".lock"}
    assert cgroups(pid) == []
    assert [process for process in processes if process.is_running()] == []
    assert node.state() is State.RUNNING
    assert all(Path(folder).exists() for folder in mount_points.FOLDERS)  # the other cluster's are on them


def test_a_killed_cluster_leaves_no_process_and_the_next_one_clears_the_rest(another: Cluster) -> None:
    killed = holder(another)
    processes = killed.children(recursive=True)
    assert len(processes) > 10

    os.kill(killed.pid, signal.SIGKILL)

    wait_until(lambda: not any(process.is_running() for process in processes))
    assert another.state() is State.DIED
    with pytest.raises(DevstackError, match="no cluster runs"):
        another.kubectl("get", "nodes")
    assert another.up()
    assert cgroups(killed.pid) == []


def test_a_cluster_whose_part_dies_says_which_and_ends(another: Cluster) -> None:
    [scheduler] = [each for each in holder(another).children(recursive=True) if each.name() == "kube-scheduler"]

    scheduler.kill()

    wait_until(lambda: another.state() is State.DIED)
    assert "kube-scheduler ended (-9)" in (another.log_folder / "cluster.log").read_text()


def test_an_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    command = [sys.executable, "-m", "order_devstack", "--dir", str(tmp_path), "cluster", "up"]
    starting = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=with_ctrl_c)
    wait_until((folder / "run" / "init.pid").exists)
    processes = holder(Cluster(folder)).children(recursive=True)

    starting.send_signal(signal.SIGINT)
    starting.communicate(timeout=30)

    assert starting.returncode == 130
    assert [process for process in processes if process.is_running()] == []
    assert {path.name for path in folder.iterdir()} <= {"log", ".lock"}


def test_a_cluster_that_runs_is_left_alone(node: Cluster) -> None:
    assert not node.up()
