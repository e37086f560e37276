"""An org's state follows from its pointer, and from whether a pooled model stands in for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from leadscore.errors import Damaged
from leadscore.pooling import POOLED
from leadscore.registry.org_state import MEANINGS, OrgState, holds_since, pooled_pointer, standing
from leadscore.registry.store import History, Pointer, Registry, Withdrawal

OWN, POOL = (
    Pointer(version, None, "2026-03-01T06:00:00+00:00", "a test", "better", "c0ffee")
    for version in ("20260301060000", "20260201060000")
)
HARMED = Damaged("active.json is damaged; restore it")
NO_OTHER = "The org has no model of its own, and the pooled one cannot be read: active.json is damaged; restore it"
WITHDRAWN = Withdrawal(OWN, "2026-04-01T06:00:00+00:00", "a sensor", "its leads are gone")


def registry_with(root: Path, content: bytes | None) -> Registry:
    folder = root / "acme"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "active.json").write_bytes(content)
    return Registry(root)


@pytest.mark.parametrize(
    ("present", "pooled", "expected"),
    [
        (OWN, None, ("active", "acme", "")),
        (OWN, POOL, ("active", "acme", "")),
        (None, POOL, ("pooled", POOLED, "")),
        (None, None, ("no_model", None, "")),
        (WITHDRAWN, None, ("withdrawn", None, "its leads are gone")),
        (WITHDRAWN, POOL, ("withdrawn", POOLED, "its leads are gone")),
        (OWN, HARMED, ("active", "acme", "")),
        (None, HARMED, ("damaged", None, NO_OTHER)),
        (WITHDRAWN, HARMED, ("withdrawn", None, "its leads are gone")),
    ],
)
def test_the_state_says_whose_model_scores_the_leads(
    tmp_path: Path,
    present: Pointer | Withdrawal | None,
    pooled: Pointer | Damaged | None,
    expected: tuple[OrgState, str | None, str],
) -> None:
    registry = registry_with(tmp_path, msgspec.json.encode(present) if present else None)
    found = standing(registry, "acme", pooled)
    assert (found.state, found.model.owner if found.model else None, found.problem) == expected


def test_a_pointer_that_cannot_be_read_is_no_reason_to_use_another_model(tmp_path: Path) -> None:
    found = standing(registry_with(tmp_path, b"{"), "acme", POOL)
    assert (found.state, found.model) == ("damaged", None)
    assert "roll back to a version with force" in found.problem


def test_a_pooled_pointer_that_cannot_be_read_is_no_error_yet(tmp_path: Path) -> None:
    (tmp_path / POOLED).mkdir()
    registry, path = Registry(tmp_path), tmp_path / POOLED / "active.json"
    assert pooled_pointer(registry, is_pooling=True) is None
    path.write_bytes(msgspec.json.encode(POOL))
    assert pooled_pointer(registry, is_pooling=True) == POOL
    path.write_bytes(b"{")
    assert isinstance(pooled_pointer(registry, is_pooling=True), Damaged)
    assert pooled_pointer(registry, is_pooling=False) is None


def at(day: int) -> str:
    return f"2026-03-{day:02}T06:00:00+00:00"


def test_a_state_holds_since_the_first_activation_after_the_last_withdrawal() -> None:
    first, second = (msgspec.structs.replace(OWN, activated_at=at(day)) for day in (1, 9))
    gone = msgspec.structs.replace(WITHDRAWN, withdrawn_at=at(5))
    moments = [
        holds_since(History(entries, None))
        for entries in ([], [first], [first, second], [first, gone], [first, gone, second])
    ]
    assert moments == [None, *(datetime(2026, 3, day, 6, tzinfo=UTC) for day in (1, 1, 5, 9))]


def test_every_state_is_said_in_words() -> None:
    assert set(MEANINGS) == set(OrgState.__args__)  # type: ignore[attr-defined]  # of a Literal
