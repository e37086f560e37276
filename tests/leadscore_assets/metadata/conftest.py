"""A registry that needs no CRM."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.registry.store import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Give a registry in a folder that does not exist yet."""
    return Registry(tmp_path / "models")
