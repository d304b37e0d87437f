"""What the documentation names exists, and no committed file names a machine or a registry."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from settings_variables import codec_server_variables, console_variables, operator_variables, worker_variables
from temporalio.envconfig import ClientConfigProfile

from order_cli import console_route
from order_cli.commands import opening
from order_process.temporal_access import API_KEY_FILE

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/**/*.md", "charts/*/README.md")
    for path in ROOT.glob(pattern)
)
CHART_FILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("charts/**/*") if path.is_file())
CODE = re.compile(r"^```.*?^```$|^ {4,}\S.*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
"""Fenced, indented, or between backticks on one line."""
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PACKAGE_FOLDERS = ("codec", "console", "operator", "worker", "workflows", "devstack", "cli")
"""A package is written without its folder: `order_operator/crd.py`."""

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


def code(document: Path) -> str:
    return "\n".join(CODE.findall((ROOT / document).read_text()))


@documents
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code(document)))

    assert named - targets == set()


@documents
def test_every_path_that_is_named_exists(document: Path) -> None:
    bases = [ROOT, *(ROOT / folder for folder in PACKAGE_FOLDERS)]
    tops = {path.name for base in bases for path in base.iterdir() if path.is_dir() and path.name[0] not in "._"}
    paths = re.compile(rf"(?<![\w./<>-])(?:{'|'.join(map(re.escape, tops))})/(?:[\w./-]*\w)?")
    # What git is told to ignore is named because it may come and go.
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    named = set(paths.findall((ROOT / document).read_text())) - ignored

    assert [path for path in sorted(named) if not any((base / path).exists() for base in bases)] == []


@documents
def test_every_test_that_is_named_exists(document: Path) -> None:
    """Defect 27 of the reference systems: names in their documents that existed nowhere."""
    tests = {
        f"{path.name}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"\btest_\w+\.py::test_\w+", (ROOT / document).read_text()))

    assert named - tests == set()


WORD = re.compile(r"\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+\b")
OF_OTHERS = {"NonDeterministicError", "GetVersion"}
"""Names of Temporal's that occur in no code of ours."""
CODE_FOLDERS = (
    "codec",
    "console",
    "operator",
    "process",
    "worker",
    "workflows",
    "devstack",
    "charts",
    "manifests",
    "benchmarks",
    "cli",
    "tests",
)


@pytest.fixture(scope="module")
def words_of_the_code() -> set[str]:
    """All in capitals and small letters, such as StepRetrying."""
    files = (file for folder in CODE_FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".yaml"})
    return {word for file in files if file.name != Path(__file__).name for word in WORD.findall(file.read_text())}


@documents
def test_every_name_of_a_reason_or_an_error_exists_in_the_code(document: Path, words_of_the_code: set[str]) -> None:
    """A runbook sent people to look for an error that did not exist."""
    quoted = " ".join(re.findall(r"`([^`\n]+)`", (ROOT / document).read_text()))
    words = set(WORD.findall(quoted))

    assert words - words_of_the_code - OF_OTHERS == set()


ODD = re.compile(r"\b(?:whoever|hereby|shall|anew|lest|nought|thereof)\b", re.IGNORECASE)
"""Words that a reader whose English is a second language stumbles over; each has a plain one."""


@documents
def test_the_words_are_plain(document: Path) -> None:
    text = re.sub(r"`[^`\n]+`|\]\([^)]*\)|test_\w+", "", (ROOT / document).read_text())

    assert ODD.findall(text) == []


@documents
def test_every_metric_that_is_named_is_served(document: Path) -> None:
    served = set(re.findall(r"^\| `(orders_\w+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE))
    quoted = " ".join(re.findall(r"`([^`\n]+)`", (ROOT / document).read_text()))
    metrics = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\borders_[a-z_]+[a-z]\b", quoted)}

    assert served
    assert metrics - served == set()


def test_no_two_files_of_tests_have_one_name() -> None:
    """docs/features.md names tests by their file alone, and of two modules of one name only the first is imported."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")

    assert [name for name, count in names.items() if count > 1] == []


@documents
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    # A pattern in a table of fields looks like a link.
    text = re.sub(r"`[^`\n]+`", "", (ROOT / document).read_text())
    targets = [target for target in LINK.findall(text) if "://" not in target]

    assert [target for target in targets if not (ROOT / document.parent / target).exists()] == []


def named_variables(prefix: str) -> dict[str, Path]:
    """Variable -> a document or file of a chart that names it. `PREFIX_…`, which stands for many, is none."""
    variable = re.compile(rf"\b{prefix}_[A-Z_]*[A-Z](?![A-Z_])")
    files = {*DOCUMENTS, *CHART_FILES}
    return {name: file for file in files for name in variable.findall((ROOT / file).read_text())}


@pytest.mark.parametrize("prefix", ["ORDER", "STRIPE", "SMTP"])
def test_every_variable_of_ours_that_is_named_is_read(prefix: str) -> None:
    named = named_variables(prefix)

    assert named
    programs = operator_variables() | worker_variables() | console_variables() | codec_server_variables()
    read = programs | {console_route.VARIABLE, opening.NAMESPACE}
    assert {name: file for name, file in named.items() if name not in read} == {}


def test_every_variable_of_temporal_that_is_named_is_read_by_its_sdk_or_by_us() -> None:
    def is_read(name: str) -> bool:
        with_it = ClientConfigProfile.load(disable_file=True, override_env_vars={name: "true"})
        return with_it != ClientConfigProfile.load(disable_file=True, override_env_vars={})

    named = {name: file for name, file in named_variables("TEMPORAL").items() if name not in worker_variables()}
    # They say where to read; the test reads no file.
    of_a_file = {"TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE", API_KEY_FILE}

    assert named
    assert {name: file for name, file in named.items() if name not in of_a_file and not is_read(name)} == {}


# In parts, for this file is searched too.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("registry", "npmjs", "org"),
    )
)
MACHINE = re.compile(
    "|".join([r"(?<![\w}.~])/(?:home|root|Users|work)/\w", *map(re.escape, (str(ROOT), *REGISTRIES))]), re.IGNORECASE
)


def test_every_setting_of_temporal_that_our_stacks_switch_on_is_told_to_users() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "devstack").rglob("*.py"))
    switched_on = set(re.findall(r"\b(?:matching|system)\.[a-z]+[A-Z][A-Za-z]+", sources))

    assert "matching.enableFairness" in switched_on
    page = (ROOT / "docs" / "connections.md").read_text()
    assert sorted(name for name in switched_on if name not in page) == []


def test_no_committed_file_names_a_folder_of_a_machine_or_a_registry() -> None:
    # The files that the next commit could bring are among them.
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = {name for name in listed if name and (ROOT / name).is_file()}
    found = {name: MACHINE.findall((ROOT / name).read_text(errors="replace")) for name in files}

    assert "README.md" in files
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_the_order_that_the_readme_begins_with_is_the_sample_that_it_applies() -> None:
    [order] = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert order in (ROOT / "manifests/samples/needs-approval.yaml").read_text()


def test_every_page_installs_a_chart_into_one_namespace() -> None:
    """The pages of the charts left out the namespace of the README: an upgrade along them failed at the kinds."""
    commands = [
        line
        for document in DOCUMENTS
        for line in (ROOT / document).read_text().replace("\\\n", " ").splitlines()
        if re.search(r"helm (upgrade|install).* charts/", line)
    ]
    namespaces = {re.findall(r"(?:-n|--namespace) (\S+)", command)[:1] == ["order-platform"] for command in commands}

    assert len(commands) > 4
    assert namespaces == {True}


@pytest.mark.parametrize("row", ["X1", "X2", "X7", "X12", "U6", "N5", "N6", "H16"])
def test_what_is_still_to_come_says_how_it_is_done_today(row: str) -> None:
    page = (ROOT / "docs/features.md").read_text()
    [cells] = re.findall(rf"^\| {row} \| (.+) \|$", page, re.MULTILINE)
    still_to_come = page[page.index("## Still to come") :]

    assert f"| {row} |" in still_to_come or "to come. Today: " in cells
    assert len(cells.split(" | ")[1]) > 40


def test_all_sixty_rows_of_what_the_best_operators_offer_are_on_the_page() -> None:
    """Each with what is here or why it is not, or with both."""
    page = (ROOT / "docs/features.md").read_text()
    rows = {int(number) for number in re.findall(r"^\| K(\d+) \|", page, re.MULTILINE)}

    assert rows == set(range(1, 61))


def test_the_index_of_the_documentation_lists_every_page() -> None:
    index = set(LINK.findall((ROOT / "docs/README.md").read_text()))
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md") if page.parent != docs / "decisions"}

    assert pages - {"README.md"} - index == set()


def test_the_index_of_the_decisions_lists_every_decision_by_its_title() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    titles = {page.name: page.read_text().splitlines()[0] for page in (ROOT / "docs/decisions").glob("0*.md")}
    missing = [
        name for name, title in titles.items() if f"| [{title[2:6]}]({name}) | {title[7:]} |" not in index.splitlines()
    ]

    assert missing == []


def test_the_glossary_is_short_and_in_order() -> None:
    words = re.findall(r"^\| ([a-z ]+) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)[1:]

    assert words == sorted(words)
    assert len(words) <= 40
