"""The charts of a release: archives for `helm install`, and OCI layouts for a registry."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import yaml

from order_devstack import servers
from order_devstack.errors import CommandFailed
from order_devstack.release import oci_layout
from order_devstack.release.source import Source

CHARTS = ("order-platform-crds", "order-platform")


def build(source: Source, out: Path) -> None:
    """Write out/charts/<name>-<version>.tgz and the layout out/charts/<name>/. Raises DevstackError."""
    helm = servers.obtain(["helm"])["helm"]
    folder = out / "charts"
    folder.mkdir(parents=True)
    created = datetime.fromtimestamp(source.time, UTC).isoformat()
    for name in CHARTS:
        chart = source.folder / "charts" / name
        command = [str(helm), "package", str(chart), "--destination", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(" ".join(command), done.returncode, done.stdout, done.stderr)
        about = yaml.safe_load((chart / "Chart.yaml").read_text())
        archive = folder / f"{name}-{about['version']}.tgz"
        oci_layout.write(folder / name, about, archive.read_bytes(), created)
