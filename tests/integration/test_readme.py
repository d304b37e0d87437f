"""The commands of README's example do what a reader expects of them: each succeeds."""

from pathlib import Path

from cluster import Cluster
from pages import Reader, blocks, sections

SECTION = "Place an order of your own"


def test_the_example_of_the_readme_works_line_by_line(cluster: Cluster, tmp_path: Path) -> None:
    reader = Reader(cluster.stack, tmp_path, cluster.namespace)
    _starts_a_stack, example = blocks(sections("README.md")[SECTION])

    for command in example.splitlines():
        reader.run(command)
