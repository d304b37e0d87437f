"""`python -m order_devstack.release build 0.2.0`, `... set`, `... publish` and `... audit`; the Makefile calls them."""

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from order_devstack import images
from order_devstack.errors import DevstackError
from order_devstack.release import advisories, helm_charts, krew, publishing, python_packages, versions
from order_devstack.release.advisories import Verdict
from order_devstack.release.source import Source

_CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAMS = ("operator", "worker", "console")
"""Each with a file of pinned requirements."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        version = versions.checked(options.version) if "version" in options else ""
        options.run(options.checkout, version, options)
    except DevstackError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m order_devstack.release", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, does in (
        ("set", _set, "write VERSION into pyproject.toml, the charts and the changelog"),
        ("build", _build, "build VERSION from the commit that is checked out"),
        ("audit", _audit, "look every pinned dependency of the programs up in a list of advisories"),
        ("publish", _publish, "hand what was built to a registry and an index"),
    ):
        command = commands.add_parser(name, help=does)
        if run is not _audit:
            command.add_argument("version", metavar="VERSION", help="1.2.3, or 1.2.3rc1 for a candidate")
        command.add_argument("--checkout", type=Path, default=_CHECKOUT, help="default: the one of this program")
        if run is _build:
            command.add_argument("--out", type=Path, help="default: dist/ of the checkout; replaced")
            command.add_argument(
                "--unaudited", action="store_true", help="where no advisories can be looked up; the notes say so"
            )
            command.add_argument(
                "--without-images", action="store_true", help="for machines without buildah, and for tests"
            )
        if run is _publish:
            command.add_argument("--from", type=Path, dest="folder", help="default: dist/ of the checkout")
            command.add_argument("--registry", required=True, help="host and path, such as registry.example.com/shop")
            command.add_argument("--index", default="", help="URL that twine uploads to; without it no packages")
            command.add_argument("--plain-http", action="store_true", help="for a registry without TLS")
            command.add_argument("--dry-run", action="store_true", help="only say the commands")
        command.set_defaults(run=run)
    return parser


def _set(checkout: Path, version: str, _options: argparse.Namespace) -> None:
    versions.write(checkout, version, datetime.now(UTC).date().isoformat())
    print(f"{version} is written. Look at CHANGELOG.md, run `make generate`, and commit.")


def _build(checkout: Path, version: str, options: argparse.Namespace) -> None:
    out = (options.out or checkout / "dist").resolve()
    if not options.without_images and checkout.resolve() != images.CHECKOUT:
        # In which nothing lies that is not committed.
        raise DevstackError(f"images are built of {images.CHECKOUT} alone: run the program of {checkout}.")
    with tempfile.TemporaryDirectory() as folder:
        source = Source.export(checkout, version, Path(folder) / "source")
        built = Path(folder) / "dist"
        built.mkdir()
        checked = _audited(source.folder, unaudited=options.unaudited)
        notes = versions.notes((source.folder / "CHANGELOG.md").read_text(), version)
        (built / "NOTES.md").write_text(f"{notes.rstrip()}\n\nDependencies: {checked}.\n")
        _step("wheel and bills of materials", lambda: python_packages.build(source, built))
        _step("archive for krew", lambda: krew.build(source, built))
        _step("charts", lambda: helm_charts.build(source, built))
        if not options.without_images:
            _step("images", lambda: images.build(built / "images"))
        _write_checksums(built)
        # Only what is whole takes the place of what was there.
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(built, out)
    print(f"order-platform {version} of commit {source.commit[:12]}:")
    for path in _files(out):
        print(f"  {path.relative_to(out)!s:70}{path.stat().st_size:>12,} bytes")


def _audited(source: Path, *, unaudited: bool) -> str:
    """What the notes say of the dependencies. Raises DevstackError."""
    found = advisories.audit([source / "requirements" / f"{name}.txt" for name in PROGRAMS])
    for line in found.lines:
        print(f"  {line}")
    if found.verdict is Verdict.WEAK:
        raise DevstackError("dependencies have advisories: raise their versions and run `make lock`.")
    if found.verdict is Verdict.NOT_CHECKED and not unaudited:
        raise DevstackError(
            "no advisories could be looked up for the dependencies. Build where they can be, or say UNAUDITED=true: "
            "the notes of the release then say that they were not checked."
        )
    return found.verdict


def _audit(checkout: Path, _version: str, _options: argparse.Namespace) -> None:
    found = advisories.audit([checkout / "requirements" / f"{name}.txt" for name in PROGRAMS])
    print("\n".join([*found.lines, f"dependencies of {', '.join(PROGRAMS)}: {found.verdict}"]))
    if found.verdict is not Verdict.FINE:
        raise DevstackError("the dependencies are not known to be fine.")


def _publish(checkout: Path, version: str, options: argparse.Namespace) -> None:
    publishing.publish(
        (options.folder or checkout / "dist").resolve(),
        version,
        registry=options.registry,
        index=options.index,
        plain_http=options.plain_http,
        run=publishing.show if options.dry_run else publishing.run,
    )


def _step(name: str, work: Callable[[], object]) -> None:
    print(f"{name} ...", flush=True)
    work()


def _write_checksums(folder: Path) -> None:
    """In the form that `sha256sum --check SHA256SUMS` reads."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in _files(folder)]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
