"""Runs while an image is built, as the last process of the base: deletes what no program of the platform reads.

Kept are Python, the libraries that its standard library and the platform's dependencies load, time zones and the
certificates of authorities. Gone are the shell, the package manager, pip, manuals and the rest of Debian.
"""

import compileall
import os
import py_compile
import re
import shutil
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

# What Debian's Python, and one that was built on Debian, link to.
KEPT_PACKAGES = re.compile(
    r"base-files|netbase|tzdata|media-types|ca-certificates|libc6|libgcc-s1|libstdc\+\+6|gcc-\d+-base"
    r"|(lib)?python3[\d.]*(-minimal|-stdlib)?|zlib1g|libssl3|libbz2-1\.0|liblzma5|libffi8|libexpat1|libsqlite3-0|libuuid1"
    r"|libdb5\.3|libgdbm6|libgdbm-compat4|libncursesw6|libtinfo6|libreadline8|readline-common|libnsl2|libtirpc3"
    r"|libtirpc-common|libgssapi-krb5-2|libkrb5-3|libk5crypto3|libkrb5support0|libcom-err2|libkeyutils1|libcrypt1"
)
UNUSED_FOLDERS = (
    *("/build", "/var", "/root", "/srv", "/media", "/mnt", "/opt", "/boot", "/usr/games", "/usr/include", "/usr/src"),
    *("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/share/lintian"),
    *("/usr/share/zoneinfo/right", "/usr/share/zoneinfo/posix", "/usr/share/ca-certificates"),
    *("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/lib/dpkg", "/etc/apt", "/etc/dpkg", "/etc/init.d"),
)
UNUSED_MODULES = (
    *("test", "lib2to3", "idlelib", "tkinter", "turtledemo", "pydoc_data", "ensurepip", "site-packages"),
    *("dist-packages", "__pycache__", "config-*"),
)
KEPT_PROGRAMS = re.compile(r"python3(\.\d+)?")
PROGRAM_FOLDERS = ("/usr/bin", "/usr/local/bin")
USERS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/app:/sbin/nologin\n"
GROUPS = "root:x:0:\nnonroot:x:65532:\n"


def main() -> None:
    """Nothing that it needs itself may go before its end; it starts no process."""
    _delete_packages(Path("/var/lib/dpkg/info"))
    standard_library = Path(sysconfig.get_path("stdlib"))
    for pattern in UNUSED_MODULES:
        for folder in standard_library.rglob(pattern):
            shutil.rmtree(folder, ignore_errors=True)
    hashed = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(standard_library, quiet=2, invalidation_mode=hashed)
    for folder in UNUSED_FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)
    for gconv in Path("/usr/lib").glob("*/gconv"):
        shutil.rmtree(gconv)
    for folder in map(Path, PROGRAM_FOLDERS):
        for program in folder.glob("*"):
            if not KEPT_PROGRAMS.fullmatch(program.name):
                program.unlink()
    Path("/etc/passwd").write_text(USERS)
    Path("/etc/group").write_text(GROUPS)
    for leftover in ("/etc/shadow", "/etc/gshadow", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/ld.so.cache~"):
        Path(leftover).unlink(missing_ok=True)
    Path("/app").mkdir(parents=True, exist_ok=True)
    for folder, _, _ in os.walk("/usr", topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
    Path(sys.argv[0]).unlink()


def _delete_packages(records: Path) -> None:
    kept: set[str] = set()
    unwanted: set[str] = set()
    for record in records.glob("*.list"):
        package = record.name.removesuffix(".list").partition(":")[0]
        (kept if KEPT_PACKAGES.fullmatch(package) else unwanted).update(record.read_text().splitlines())
    for name in unwanted - kept:
        path = Path(name)
        if path.is_symlink() or path.is_file():
            with suppress(OSError):
                path.unlink()


if __name__ == "__main__":
    main()
