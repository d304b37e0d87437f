"""Runs while an image is built: lists what is in it, as CycloneDX. `sbom.py operator`

The Python packages are those that are installed, Debian's those that `slim.py` leaves.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from slim import KEPT_PACKAGES

VENV = Path("/opt/venv")
OUTPUT = VENV / "share" / "sbom.cdx.json"
TOOL = Path("/build/tools/bin/cyclonedx-py")
DPKG_STATUS = Path("/var/lib/dpkg/status")


def main(program: str, version: str, revision: str) -> None:
    """Write the list into the environment of the program."""
    listing = ["environment", "--output-reproducible", "--output-format=JSON", str(VENV / "bin" / "python3")]
    done = subprocess.run([TOOL, *listing], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    document["metadata"]["component"] = {
        "bom-ref": "image",
        "type": "container",
        "name": f"order-platform/{program}",
        "version": version,
        "properties": [{"name": "org.opencontainers.image.revision", "value": revision}],
    }
    document["components"] += list(_debian_packages())
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _debian_packages() -> Iterator[dict[str, object]]:
    for paragraph in DPKG_STATUS.read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        name = fields.get("Package", "")
        if KEPT_PACKAGES.fullmatch(name):
            reference = f"pkg:deb/debian/{name}@{fields['Version']}?arch={fields['Architecture']}"
            yield {
                "bom-ref": reference,
                "type": "library",
                "name": name,
                "version": fields["Version"],
                "purl": reference,
            }


if __name__ == "__main__":
    main(sys.argv[1], os.environ["VERSION"], os.environ["REVISION"])
