"""What the page for users of the five reference systems shows works: each section's commands, in their order."""

from collections.abc import Iterator

import pytest
from pages import Reader, blocks, sections

from order_devstack.stack import Stack

SECTIONS = sections("docs/coming-from.md")


@pytest.fixture(scope="module")
def reader(platform: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One for all sections: none may use a name or an order number of another."""
    platform.kubectl("create", "namespace", "coming-from")
    yield Reader(platform, tmp_path_factory.mktemp("reader"), "coming-from")
    if any(process.pid is None for process in platform.status()):
        platform.up()


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_the_commands_of_a_section_work_in_their_order(section: str, reader: Reader) -> None:
    for block in blocks(section):
        reader.run(block)
