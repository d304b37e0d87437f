"""Hooks of mkdocs: what lies outside docs/ becomes a page of the site, or is named by its path.

In the repository pages link to each other and to code by relative paths. The site has no code: a link to a file that is
no page of it becomes the file's path. A link to nothing stays as it is, and the strict build fails on it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

PAGES = {
    "README.md": "project.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "charts/order-platform/README.md": "chart.md",
    "charts/order-platform-crds/README.md": "chart-of-kinds.md",
}
"""File of the repository outside docs/ -> page of the site."""

_LINK = re.compile(r"(`[^`\n]+`)|\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turns the links of the repository into those of the site."""
    return with_links_of_the_site(markdown, page.file.src_uri)


def with_links_of_the_site(markdown: str, page: str) -> str:
    """`page` is where the text stands in the site."""
    sources = {name: source for source, name in PAGES.items()}
    folder = posixpath.dirname(sources.get(page, f"docs/{page}"))

    def link(found: re.Match[str]) -> str:
        code, text, target = found.groups()
        if code or "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(folder, path))
        if (ROOT / file / "README.md").is_file():
            file = f"{file}/README.md"
        in_site = PAGES.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if in_site is not None and (ROOT / file).is_file():
            relative = posixpath.relpath(in_site, posixpath.dirname(page) or ".")
            return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"
        if not (ROOT / file).exists():
            return found[0]
        return f"`{file}`" if text.strip("`") == file else f"{text} (`{file}`)"

    return _LINK.sub(link, markdown)
