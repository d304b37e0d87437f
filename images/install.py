"""Runs while an image is built: installs into /opt/venv, and leaves there what a running program reads, compiled.

`install.py -r FILE` installs locked dependencies, `install.py` the wheel of the platform.
"""

import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path("/build")
VENV = Path("/opt/venv")
TOOLS = BUILD / "tools" / "bin"
NEVER_READ = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h")
UNUSED_FOLDERS = ("tests", "test", "__pycache__")


def main(arguments: list[str]) -> None:
    """Install what the arguments say."""
    if not VENV.exists():
        # Not `sys.executable`: that is the tools' own environment, which stays behind.
        subprocess.run([_base_python(), "-m", "venv", "--without-pip", VENV], check=True)
    pip = [TOOLS / "pip", "--python", VENV / "bin" / "python3", "--quiet", "--no-cache-dir", "--no-input", "install"]
    locked = ["--require-hashes", "--only-binary", ":all:", *arguments]
    wheel = ["--no-deps", *(BUILD / "wheels").glob("*.whl")]
    subprocess.run([*pip, "--no-compile", *(locked if arguments else wheel)], check=True)
    [site] = VENV.glob("lib/python3*/site-packages")
    for record in site.glob("order_platform-*.dist-info/direct_url.json"):
        record.unlink()  # it names the wheel, which stays behind
    for pattern in NEVER_READ:
        for file in site.rglob(pattern):
            file.unlink()
    for script in VENV.glob("bin/[aA]ctivate*"):
        script.unlink()
    _compile(site, all_anew=bool(arguments))


def _compile(site: Path, *, all_anew: bool) -> None:
    """Nobody can write beside the sources later, so what is not compiled here is compiled anew at each start.

    The sources do not change: no look at them, and the same bytes from every build.
    """
    for name in UNUSED_FOLDERS if all_anew else ():
        for folder in [each for each in site.rglob(name) if each.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
    compiler = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    compiled = [site] if all_anew else [*site.glob("order_*")]
    subprocess.run([VENV / "bin" / "python3", *compiler, *compiled], check=False)  # some carry code of other Pythons


def _base_python() -> str:
    return next(line.partition("=")[2].strip() for line in _configuration() if line.startswith("executable"))


def _configuration() -> list[str]:
    return (BUILD / "tools" / "pyvenv.cfg").read_text().splitlines()


if __name__ == "__main__":
    main(sys.argv[1:])
