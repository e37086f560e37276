"""Each org's old versions go, and one org that cannot be worked on does not hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadscore.pooling import POOLED
from leadscore.registry.old_versions import Keep
from leadscore.registry.store import Registry
from leadscore_assets.retention.old_versions import BY, remove_of_all_orgs
from tests.leadscore import conftest as core

LATER = datetime.now(UTC) + timedelta(days=400)


@pytest.fixture
def filled(tmp_path: Path) -> Registry:
    """Give a registry in which two orgs and the pooled model have three versions each, none of them active."""
    registry = Registry(tmp_path / "models", wait_seconds=0.05)
    publish: Callable[..., str] = core._publish
    for org_id in ("acme", "zeta", POOLED):
        for _ in range(3):
            publish(registry, org_id)
    return registry


def test_every_org_and_the_pooled_model_keep_the_newest(filled: Registry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        removed, failures = remove_of_all_orgs(filled, Keep(1, 30), LATER, logging.getLogger())
    assert (removed.what, removed.items, failures) == ("versions", 6, {})
    assert removed.freed_bytes > 0
    assert "acme: removed the files of 2 old versions" in caplog.text
    for org_id in ("acme", "zeta", POOLED):
        removals = [filled.removal(org_id, version) for version in filled.versions(org_id)]
        assert [removal.by if removal else None for removal in removals] == [None, BY, BY]


def test_an_org_that_is_being_changed_is_named_and_the_others_are_done(filled: Registry) -> None:
    with Registry(filled.root).exclusive("acme"):
        removed, failures = remove_of_all_orgs(filled, Keep(1, 30), LATER, logging.getLogger())
    assert removed.items == 4
    assert list(failures) == ["acme"]
