"""The charts on a cluster with pods."""

import json
import tarfile
from pathlib import Path

import pytest
from cluster_shop import FAST, Shop
from installation import NAMESPACE, RELEASE, WORKER, Installation
from looking_around import POWERLESS, look_around

from order_devstack import images
from order_devstack.errors import CommandFailed
from order_devstack.images import Image

pytestmark = pytest.mark.cluster

LARGEST_IMAGE_BYTES = 90e6


def test_orders_complete_on_a_fresh_installation(platform: Installation, shop: Shop) -> None:
    orders = shop.place(20, of=FAST)

    shop.complete(orders)
    shop.nothing_is_lost_or_twice(orders)


@pytest.mark.parametrize("component", ["operator", "worker"])
def test_what_runs_has_no_rights_no_shell_and_nowhere_to_write(platform: Installation, component: str) -> None:
    assert look_around(platform, component) == POWERLESS


def test_a_worker_has_no_token_of_the_api_server(platform: Installation) -> None:
    script = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"

    assert platform.worker_says("python3", "-c", script).strip() == "False"


def test_a_second_build_from_nothing_gives_the_same_images(built_images: list[Image], tmp_path: Path) -> None:
    rebuilt = images.build(tmp_path, again=True)

    assert [image.identifier for image in rebuilt] == [image.identifier for image in built_images]


def test_an_image_says_of_which_commit_it_is(built_images: list[Image]) -> None:
    assert {image.name: revision(image) for image in built_images} == {
        image.name: image.revision for image in built_images
    }


def revision(image: Image) -> str:
    with tarfile.open(image.archive) as archive:
        [manifest] = json.loads(member(archive, "manifest.json"))
        labels = json.loads(member(archive, manifest["Config"]))["config"]["Labels"]
    return str(labels["org.opencontainers.image.revision"])


def member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None
    return found.read()


def test_the_images_are_small_enough(built_images: list[Image]) -> None:
    sizes = {image.name: image.compressed_bytes for image in built_images}

    assert len(sizes) == len(images.PROGRAMS)
    assert all(size <= LARGEST_IMAGE_BYTES for size in sizes.values()), sizes


def test_pods_that_pod_security_would_refuse_are_refused_in_the_namespace(platform: Installation) -> None:
    run = ("run", "root", f"--image={images.REGISTRY}/{images.REPOSITORY}/worker:{images.version()}")

    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        platform.kubectl(*run)


def test_the_charts_own_test_finds_the_installation_working(platform: Installation) -> None:
    platform.node.helm("test", RELEASE, "--namespace", NAMESPACE, "--timeout=120s")


def test_the_release_says_what_it_is(platform: Installation) -> None:
    listed = json.loads(platform.node.helm("list", "--namespace", NAMESPACE, "--output=json"))
    deployed = {release["name"]: release["status"] for release in listed}

    assert deployed[RELEASE] == "deployed"
    assert images.version() in platform.worker_says("order-worker", "--version")
    assert platform.kubectl("get", "deployment", WORKER, "--output=name")
