"""`python -m order_devstack.release build 0.2.0`, `... set 0.2.0` and `... publish 0.2.0`; the Makefile calls them."""

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
from order_devstack.release import helm_charts, publishing, python_packages, versions
from order_devstack.release.source import Source

_CHECKOUT = Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options.checkout, versions.checked(options.version), options)
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
        ("publish", _publish, "hand what was built to a registry and an index"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument("version", metavar="VERSION", help="1.2.3, or 1.2.3rc1 for a candidate")
        command.add_argument("--checkout", type=Path, default=_CHECKOUT, help="default: the one of this program")
        if run is _build:
            command.add_argument("--out", type=Path, help="default: dist/ of the checkout; replaced")
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
    with tempfile.TemporaryDirectory() as folder:
        source = Source.export(checkout, version, Path(folder) / "source")
        built = Path(folder) / "dist"
        built.mkdir()
        (built / "NOTES.md").write_text(versions.notes((source.folder / "CHANGELOG.md").read_text(), version))
        _step("wheel and bills of materials", lambda: python_packages.build(source, built))
        _step("charts", lambda: helm_charts.build(source, built))
        if not options.without_images:
            _step("images", lambda: _build_images(checkout, built))
        _write_checksums(built)
        # Only what is whole takes the place of what was there.
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(built, out)
    print(f"order-platform {version} of commit {source.commit[:12]}:")
    for path in _files(out):
        print(f"  {path.relative_to(out)!s:70}{path.stat().st_size:>12,} bytes")


def _publish(checkout: Path, version: str, options: argparse.Namespace) -> None:
    publishing.publish(
        (options.folder or checkout / "dist").resolve(),
        version,
        registry=options.registry,
        index=options.index,
        plain_http=options.plain_http,
        run=publishing.show if options.dry_run else publishing.run,
    )


def _build_images(checkout: Path, built: Path) -> None:
    """Of this checkout alone, in which nothing lies that is not committed."""
    if checkout.resolve() != images.CHECKOUT:
        raise DevstackError(f"images are built of {images.CHECKOUT} alone: run the program of {checkout}.")
    images.build(built / "images")


def _step(name: str, work: Callable[[], None]) -> None:
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
