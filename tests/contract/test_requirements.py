"""What a program's image installs is all that the program imports."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from pages import ROOT

LOADS = """
import ast, importlib, json, pathlib, pkgutil, sys
root = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
    if not module.name.endswith(("__main__", ".env")) and ".versions" not in module.name:
        importlib.import_module(module.name)
named = set()
for name, module in list(sys.modules.items()):
    if name.startswith("order_") and getattr(module, "__file__", None):
        for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):
            if isinstance(node, ast.Import):
                named.update(each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                named.add(node.module.partition(".")[0])
print(json.dumps(sorted(named)))
"""
"""Loads all modules of a package; names what they, and those of ours that they load, import themselves."""


@pytest.mark.parametrize("program", ["console", "operator", "worker"])
def test_every_package_that_a_program_imports_is_pinned_for_its_image(program: str) -> None:
    """The console's image had no alembic, which the ledger's code imports: the page of the audit trail was an error."""
    command = [sys.executable, "-c", LOADS, f"order_{program}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pinned = re.findall(
        r"^([a-z0-9_.-]+)(?:\[[a-z,]+\])?==", (ROOT / f"requirements/{program}.txt").read_text(), re.MULTILINE
    )
    known = packages_distributions()
    missing = {
        name
        for name in json.loads(done.stdout)
        if name in known and not name.startswith("order_")
        if not {each.lower().replace("_", "-") for each in known[name]} & set(pinned)
    }

    assert missing == set()
