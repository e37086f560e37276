"""A start trains whom it can and shows the first lead it gets; an org that is odd is named and stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from leadscore.errors import CannotRun
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.source.orgs import TrainingNeed
from standalone.api import Answer
from standalone.first_trainings import first_lead, in_one_line, split_by_need
from tests.standalone.scripted_api import SCORE, ScriptedApi

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


def test_first_org_with_a_lead_is_shown_and_those_before_it_are_named(
    with_open_leads: Callable[[int], list[int]], tmp_path: Path
) -> None:
    with_open_leads(1)
    put_pointer(tmp_path, "bad", b"{")
    for org_id in ("a", "default", "z"):
        put_pointer(tmp_path, org_id, msgspec.json.encode(POINTER))
    (tmp_path / "untrained").mkdir()
    batch = Answer(200, {"predictions": [{"lead_id": "lead 0", "conversion_probability": 0.5}]})
    refused = Answer(503, {"detail": "no verified model"})
    lead, reasons = first_lead(ScriptedApi(refused, refused, batch, Answer(200, SCORE)), Settings(model_path=tmp_path))
    assert lead is not None
    assert lead.org_id == "z"
    assert list(reasons) == ["default", "a", "bad"]
    assert "no verified model" in reasons["default"]


def test_without_any_lead_there_is_none_to_show(with_open_leads: Callable[[int], list[int]], tmp_path: Path) -> None:
    with_open_leads(0)
    put_pointer(tmp_path, "a", msgspec.json.encode(POINTER))
    assert first_lead(ScriptedApi(), Settings(model_path=tmp_path)) == (None, {"a": "it has no open lead"})


def test_server_that_is_gone_is_no_reason_of_an_org(
    with_open_leads: Callable[[int], list[int]], tmp_path: Path
) -> None:
    with_open_leads(1)
    put_pointer(tmp_path, "a", msgspec.json.encode(POINTER))
    with pytest.raises(CannotRun):
        first_lead(ScriptedApi(), Settings(model_path=tmp_path))
