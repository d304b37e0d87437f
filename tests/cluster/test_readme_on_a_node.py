"""README's way in without Go, line by line on a node. What docker and kind would do is done here without them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT, blocks, sections

from order_devstack import images, servers
from order_devstack.cluster import container_runtime
from order_devstack.cluster.cluster import Cluster
from order_devstack.cluster.program_image import docker_archive
from order_devstack.images import Image

pytestmark = pytest.mark.cluster

SECTION = "Install it on a cluster"
MOVING = re.compile(r"\b\d+s\b|, due .*")
"""Ages, and when the parcel comes."""
TEMPORAL = servers.TOOLS["temporal"]
# The images are there already, under the names that kind would give them.
WITHOUT_AN_ENGINE = "docker() { [ $1 = build ]; }\nkind() { [ $1 = load ]; }"


def temporal_image() -> str:
    """Where the container runtime looks for the image that README names."""
    version = servers.pinned_version((servers.module_of(TEMPORAL) / "go.mod").read_text(), TEMPORAL.module)
    return f"docker.io/temporalio/temporal:{version}"


@pytest.fixture
def bare(built_images: list[Image], tmp_path: Path) -> Iterator[Cluster]:
    """A node of its own that has the images and nothing of the platform."""
    node = Cluster(tmp_path / "node", say=lambda _: None)
    archive = tmp_path / "temporal.tar"
    archive.write_bytes(
        docker_archive(temporal_image(), "temporal", servers.obtain(["temporal"])["temporal"].read_bytes())
    )
    try:
        node.up()
        node.load(archive)
        for image in built_images:
            if image.archive.stem == "console":
                continue
            node.load(image.archive)
            of_docker = image.name.replace(images.REGISTRY, "docker.io", 1)
            node.run_inside(container_runtime.name_image(image.name, of_docker))
        yield node
    finally:
        node.down()


def test_the_readme_installs_the_platform_and_carries_a_first_order_to_its_end(bare: Cluster) -> None:
    section = sections("README.md")[SECTION]
    commands = "\n".join(blocks(section))
    [shown] = re.findall(r"^```\n(\$ kubectl .*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert f" --image={temporal_image().removeprefix('docker.io/')} " in commands
    script = f"set -euo pipefail\ncd '{ROOT}'\n{WITHOUT_AN_ENGINE}\nset -x\n{commands}"

    shell = bare.command(["bash", "-c", script])
    done = subprocess.run(shell, env=bare.variables(), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert constant(done.stdout).endswith(constant(re.sub(r"^\$ .*\n", "", shown, flags=re.MULTILINE)))


def constant(tables: str) -> str:
    """What is the same each time; columns are as wide as what is in them."""
    return re.sub(r" +", " ", MOVING.sub("", tables))
