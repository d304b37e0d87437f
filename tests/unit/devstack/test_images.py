"""What goes into the images; building them is for tests/cluster."""

import re
from pathlib import Path

import pytest

from order_devstack import images

CONTAINERFILE = images.CHECKOUT / "images" / "Containerfile"


def test_the_build_context_is_what_the_containerfile_copies() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (images.CHECKOUT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source.partition("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }

    assert allowed == copied == set(images.CONTEXT)


def test_a_changed_source_makes_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in images.CONTEXT:
        (tmp_path / name).write_text("as it was")
    monkeypatch.setattr(images, "CHECKOUT", tmp_path)
    before = images.digest_of_inputs({})

    (tmp_path / images.CONTEXT[-1]).write_text("changed")

    assert images.digest_of_inputs({}) != before


def test_another_revision_makes_another_image() -> None:
    assert images.digest_of_inputs({"REVISION": "one"}) != images.digest_of_inputs({"REVISION": "other"})


def test_each_program_has_a_target_that_ends_as_its_command() -> None:
    text = CONTAINERFILE.read_text()

    for program in images.PROGRAMS:
        [target] = re.findall(rf"^FROM run AS {program}\n(.*?)(?:^FROM|\Z)", text, re.MULTILINE | re.DOTALL)
        assert f'ENTRYPOINT ["/opt/venv/bin/order-{program}"]' in target
        assert "ARG REVISION" in target  # an argument of an earlier stage is not seen here
