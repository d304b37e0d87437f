"""One node with the platform on it, for all tests of this folder."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import count

import pytest
from cluster_shop import Shop, open_for_business
from installation import NAMESPACE, Installation

from order_devstack import images
from order_devstack.cluster.cluster import Cluster
from order_devstack.errors import DevstackError
from order_devstack.images import Image

_namespaces = count(1)


@pytest.fixture(scope="session")
def built_images() -> list[Image]:
    """Those of this checkout."""
    return images.build(images.CHECKOUT / "dist" / "images")


@pytest.fixture(scope="session")
def node(built_images: list[Image], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that has the images, and KEDA where a chosen test needs it. Its folder is always the same, so that its
    logs are found after a failure."""
    with_keda = any(item.get_closest_marker("keda") for item in request.session.items)
    cluster = Cluster(images.CHECKOUT / ".devstack" / "test-cluster", with_keda=with_keda)
    cluster.down()
    try:
        cluster.up()
        for image in built_images:
            cluster.load(image.archive)
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def installed(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The platform, open for business."""
    platform = Installation(node, tmp_path_factory.mktemp("values"))
    platform.prepare_namespace()
    platform.install()
    open_for_business(platform)
    return platform


@pytest.fixture
def platform(installed: Installation) -> Iterator[Installation]:
    """The same; whatever a test does to its pods or values is undone afterwards."""
    yield installed
    installed.becomes_whole()


@pytest.fixture
def shop(platform: Installation) -> Shop:
    """A namespace of its own."""
    return Shop(platform, f"shop-{next(_namespaces)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what the cluster looked like."""
    report = yield
    node = getattr(item, "funcargs", {}).get("node")
    platform = getattr(item, "funcargs", {}).get("installed")
    node = node or (platform.node if platform else None)
    if report.failed and node is not None:
        for what in (
            ("get", "pods", "--all-namespaces", "--output=wide"),
            ("get", "events", f"--namespace={NAMESPACE}", "--sort-by=.lastTimestamp"),
            ("logs", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/component=operator", "--tail=20"),
            ("logs", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/component=worker", "--tail=20"),
        ):
            with suppress(DevstackError):
                report.sections.append((f"kubectl {' '.join(what)}", node.kubectl(*what)))
    return report
