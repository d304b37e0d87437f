"""Runs while an image is built: puts one program with its locked dependencies into /opt/venv, compiled."""

import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path("/build")
VENV = Path("/opt/venv")
TOOLS = BUILD / "tools" / "bin"
NEVER_READ = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h")
UNUSED_FOLDERS = ("tests", "test", "__pycache__")


def main(program: str) -> None:
    """Install the extra that is called like the program."""
    # Not `sys.executable`: that is the tools' own environment, which stays behind.
    subprocess.run([_base_python(), "-m", "venv", "--without-pip", VENV], check=True)
    pip = [TOOLS / "pip", "--python", VENV / "bin" / "python3", "--quiet", "--no-cache-dir", "--no-input"]
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", BUILD / "requirements" / f"{program}.txt"]
    subprocess.run([*pip, "install", "--no-compile", *locked], check=True)
    wheel = ["--no-deps", "--no-build-isolation", "--wheel-dir", BUILD / "wheels", BUILD / "source"]
    subprocess.run([TOOLS / "pip", "wheel", "--quiet", *wheel], check=True)
    # Without the record of where it came from: the wheel is gone.
    subprocess.run([*pip, "install", "--no-compile", "--no-deps", *(BUILD / "wheels").glob("*.whl")], check=True)
    [site] = VENV.glob("lib/python3*/site-packages")
    for record in site.glob("order_platform-*.dist-info/direct_url.json"):
        record.unlink()
    for pattern in NEVER_READ:
        for file in site.rglob(pattern):
            file.unlink()
    for name in UNUSED_FOLDERS:
        for folder in [each for each in site.rglob(name) if each.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
    # Nobody can write beside the sources later, so what is not compiled here is compiled anew at each start. The
    # sources do not change: no look at them, and the same bytes from every build.
    compiled = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", site]
    subprocess.run([VENV / "bin" / "python3", *compiled], check=False)  # some packages carry code of other Pythons
    for script in VENV.glob("bin/[aA]ctivate*"):
        script.unlink()


def _base_python() -> str:
    return next(line.partition("=")[2].strip() for line in _configuration() if line.startswith("executable"))


def _configuration() -> list[str]:
    return (BUILD / "tools" / "pyvenv.cfg").read_text().splitlines()


if __name__ == "__main__":
    main(sys.argv[1])
