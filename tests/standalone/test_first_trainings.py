"""A start trains whom it can; an org that is odd is named and stops nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from leadscore.pooling import POOLED
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore_assets.source.orgs import TrainingNeed
from standalone.first_trainings import in_one_line, pooled_first, split_by_need

POINTER = Pointer("20260301000000", None, datetime(2026, 3, 1, tzinfo=UTC).isoformat(), "run", "better", "0" * 64)


def need(org_id: str, *, is_due: bool = True) -> TrainingNeed:
    return TrainingNeed(org_id, 500, 500, is_due, "37 of 100 records")


def put_pointer(root: Path, org_id: str, content: bytes) -> None:
    (root / org_id).mkdir(parents=True)
    (root / org_id / POINTER_FILE).write_bytes(content)


def test_orgs_that_cannot_be_trained_are_told_apart_and_stop_nothing(tmp_path: Path) -> None:
    put_pointer(tmp_path, "active", msgspec.json.encode(POINTER))
    put_pointer(tmp_path, "damaged", b"{")
    put_pointer(tmp_path, "newer", msgspec.json.encode(msgspec.structs.replace(POINTER, format=99)))
    orgs = ["Acme GmbH", "active", "damaged", "newer", "new"]
    due, others = split_by_need(Registry(tmp_path), [*map(need, orgs), need("small", is_due=False)])
    assert due == ["new"]
    assert set(others) == {"Acme GmbH", "damaged", "newer", "small"}
    assert "an org id must have 1 to 80 characters" in others["Acme GmbH"]
    assert POINTER_FILE in others["damaged"]
    assert others["small"] == "37 of 100 records"


def test_id_that_breaks_the_rule_is_printed_in_one_line() -> None:
    assert in_one_line("acme") == "acme"
    assert in_one_line("[red]\nAcme") == r"'[red]\nAcme'"


def test_the_pooled_model_is_trained_alone_before_the_orgs_that_begin_with_it() -> None:
    assert pooled_first(["acme", POOLED, "globex"]) == [[POOLED], ["acme", "globex"]]
    assert pooled_first(["acme", "globex"]) == [["acme", "globex"]]
    assert pooled_first([]) == []
