"""Makes a version one of a release that kept no bins."""

from __future__ import annotations

import hashlib
import json

from tests.leadscore_assets.scored_org import ORG, Scored


def forget_bins(scored: Scored) -> None:
    """Take the bins from the org's active version."""
    folder, pointer = scored.registry.root / ORG / scored.model.name, scored.registry.root / ORG / "active.json"
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["input_bins.json"]
    content = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "input_bins.json").unlink()
    present = json.loads(pointer.read_text()) | {"manifest_sha256": hashlib.sha256(content).hexdigest()}
    pointer.write_text(json.dumps(present))
