"""A Helm chart as an OCI image layout: what a registry holds, as files. `oras cp --from-oci-layout` and `skopeo copy
oci:` publish it as it is. Form: the OCI image specification 1.1 and Helm's "Use OCI-based registries"."""

import hashlib
import json
from pathlib import Path
from typing import Any

_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def write(folder: Path, chart: dict[str, Any], archive: bytes, created: str) -> str:
    """Write the layout of one chart (`chart` is its Chart.yaml, `archive` the .tgz); returns the manifest's digest."""
    folder.mkdir(parents=True)
    annotations = {
        "org.opencontainers.image.title": chart["name"],
        "org.opencontainers.image.version": chart["version"],
        "org.opencontainers.image.description": chart["description"],
        "org.opencontainers.image.created": created,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, **_blob(folder, json.dumps(chart, sort_keys=True).encode())},
        "layers": [{"mediaType": _CONTENT, **_blob(folder, archive)}],
        "annotations": annotations,
    }
    described = _blob(folder, json.dumps(manifest, sort_keys=True).encode())
    tag = {"org.opencontainers.image.ref.name": chart["version"]}
    entry = {"mediaType": _MANIFEST, **described, "annotations": tag}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return str(described["digest"])


def _blob(folder: Path, content: bytes) -> dict[str, Any]:
    sha = hashlib.sha256(content).hexdigest()
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / sha).write_bytes(content)
    return {"digest": f"sha256:{sha}", "size": len(content)}
