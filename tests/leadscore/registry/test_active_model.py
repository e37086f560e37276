"""Which model scores an org: its own active version, else the pooled one, never the pooled one for a damaged own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from leadscore.errors import Damaged
from leadscore.pooling import POOLED, BaseValues
from leadscore.registry.active_model import (
    ActiveModel,
    active_model,
    as_served_to,
    base_value_for,
    no_active_model,
)
from leadscore.registry.org_record import FormerId, OrgRecord
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore.registry.version import LoadedVersion

OWN, SHARED = (Pointer(version, None, "then", "a test", "better", "c0ffee") for version in ("1" * 14, "2" * 14))
POINTERS = {"acme": OWN, POOLED: SHARED}


@pytest.mark.parametrize(
    ("org_id", "is_pooling", "expected"),
    [
        ("acme", False, ActiveModel("acme", OWN)),
        ("acme", True, ActiveModel("acme", OWN)),
        ("new", False, None),
        ("new", True, ActiveModel(POOLED, SHARED)),
        (POOLED, True, ActiveModel(POOLED, SHARED)),
    ],
    ids=["own", "own before pooled", "none", "pooled", "the pool's own"],
)
def test_an_orgs_own_model_comes_first_and_the_pooled_one_only_when_asked_for(
    org_id: str, is_pooling: bool, expected: ActiveModel | None
) -> None:
    assert active_model(org_id, POINTERS.get, is_pooling=is_pooling) == expected


@pytest.mark.parametrize("org_id", ["new", POOLED])
def test_without_any_model_there_is_none(org_id: str) -> None:
    asked: list[str] = []
    assert active_model(org_id, asked.append, is_pooling=True) is None
    assert asked == ([POOLED] if org_id == POOLED else ["new", POOLED])


def test_a_damaged_pointer_of_the_orgs_own_is_an_error_and_the_pooled_model_does_not_take_its_place(
    registry: Registry,
) -> None:
    for org_id, content in (("acme", b"{"), (POOLED, msgspec.json.encode(SHARED))):
        (registry.root / org_id).mkdir(parents=True)
        (registry.root / org_id / POINTER_FILE).write_bytes(content)
    with pytest.raises(Damaged, match=POINTER_FILE):
        active_model("acme", registry.active, is_pooling=True)
    assert active_model("new", registry.active, is_pooling=True) == ActiveModel(POOLED, SHARED)


def test_the_scope_says_whose_model_it_is() -> None:
    assert (ActiveModel("acme", OWN).scope, ActiveModel(POOLED, SHARED).scope) == ("own", "pooled")


@pytest.fixture
def version(registry: Registry, publish: Callable[..., str]) -> LoadedVersion:
    """Give a version whose base value is 0.5, and that has a base value for the org `acme`."""
    loaded = registry.load("acme", publish(registry))
    assert loaded.scorer.base_value == 0.5
    return msgspec.structs.replace(loaded, base_values=BaseValues({"acme": 0.25}))


def test_an_org_is_served_at_its_base_value_and_one_without_by_the_version_as_it_is(version: LoadedVersion) -> None:
    served = as_served_to("acme", version, OrgRecord())
    assert served.scorer.base_value == pytest.approx(0.25, abs=1e-7)
    assert served.sha256 is None
    assert as_served_to("new", version, OrgRecord()) is version
    own = msgspec.structs.replace(version, base_values=None)
    assert as_served_to("acme", own, OrgRecord()) is own


@pytest.mark.parametrize(
    ("renamed_days", "customer_days", "expected"),
    [(1, None, 0.25), (0, None, 0.25), (-1, None, None), (1, -1, 0.25), (1, 1, 0.25)],
)
def test_a_version_from_before_a_rename_serves_the_org_at_the_base_value_of_its_former_id(
    version: LoadedVersion, renamed_days: int, customer_days: int | None, expected: float | None
) -> None:
    """One from after it does not: by then the former id may be another org's."""
    as_of = version.manifest.window.as_of
    former = FormerId("acme", as_of + timedelta(days=renamed_days), ())
    since = None if customer_days is None else as_of + timedelta(days=customer_days)
    assert base_value_for(version, "globex", OrgRecord((former,), since)) == expected


@pytest.mark.parametrize(("days", "expected"), [(-1, 0.25), (0, 0.25), (1, None)])
def test_a_version_from_before_the_ids_new_customer_has_no_base_value_for_it(
    version: LoadedVersion, days: int, expected: float | None
) -> None:
    since = version.manifest.window.as_of + timedelta(days=days)
    assert base_value_for(version, "acme", OrgRecord(customer_since=since)) == expected


def test_an_org_without_a_version_of_its_own_is_told_who_scores_its_leads() -> None:
    assert no_active_model(is_pooled=False).message.startswith("the org has no active model; train the org")
    assert "of its own, so the pooled model scores its leads" in no_active_model(is_pooled=True).message
