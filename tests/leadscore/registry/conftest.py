"""What the tests of the registry share: a registry of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.registry.store import Registry

KINDS = ["folder", "object_store"]


@pytest.fixture(params=KINDS)
def any_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Give an empty registry in a folder, and then one in an object store."""
    if request.param == "folder":
        return Registry(tmp_path / "models")
    return Registry(request.getfixturevalue("object_store").new_url())
