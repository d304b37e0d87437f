"""Environment variables: those the stack's processes get, and the file that a shell sources."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

# What a developer's shell says about other clusters must not reach this stack, nor this stack reach them.
_FOREIGN = ("KUBE", "HELM_", "TEMPORAL_", "ETCD_")


def for_processes(root: Path) -> dict[str, str]:
    """The caller's environment without settings of other clusters."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, **isolation(root)}


def isolation(root: Path) -> dict[str, str]:
    """Variables that keep clients from reading or writing the user's own settings and caches."""
    data = root / "data"
    return {
        "TEMPORAL_CONFIG_FILE": os.devnull,  # the default is the profile in the user's home
        "KUBECACHEDIR": str(data / "kubectl"),  # its entries are named by host and port, which change hands
        "HELM_CACHE_HOME": str(data / "helm" / "cache"),
        "HELM_CONFIG_HOME": str(data / "helm" / "config"),
        "HELM_DATA_HOME": str(data / "helm" / "data"),
    }


def shell_file(variables: Mapping[str, str], path_folders: list[Path]) -> str:
    """Text of a file to be sourced: exports of `variables`, and the folders in front of PATH."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    folders = ":".join(shlex.quote(str(folder)) for folder in path_folders)
    return "\n".join([*lines, f'export PATH={folders}:"$PATH"', ""])
