"""An org's versions over time: in their order, with intervals, and odd ones told as such."""

from __future__ import annotations

import msgspec

from leadscore.comparison import Estimate
from leadscore.gate import Reason
from leadscore.registry.store import Pointer, Registry
from leadscore_assets.metadata.history import DAMAGED, MOST_VERSIONS, NOT_JUDGED, past_versions, table_rows
from leadscore_assets.metadata.pictures import versions_pictures
from tests.leadscore_assets.metadata.judged_versions import ORG, judged, published


def test_versions_stand_in_their_order_with_their_decisions(registry: Registry) -> None:
    first, second, third = judged(registry, "activate"), judged(registry, "hold"), published(registry)
    with registry.exclusive(ORG):
        pointer = Pointer(first, None, "then", "a test", "a test", registry.manifest_sha256(ORG, first))
        registry.swap_pointer(ORG, pointer, registry.history(ORG))

    found = past_versions(registry, ORG)

    assert [past.version for past in found] == [first, second, third]
    assert [past.decision for past in found] == ["activate", "hold", NOT_JUDGED]
    assert [past.is_active for past in found] == [True, False, False]
    assert [row[0] for row in table_rows(found)] == [third, second, first]


def test_the_version_that_the_run_will_make_active_is_shown_as_active(registry: Registry) -> None:
    first, second = judged(registry, "activate"), judged(registry, "activate")
    with registry.exclusive(ORG):
        pointer = Pointer(first, None, "then", "a test", "a test", registry.manifest_sha256(ORG, first))
        registry.swap_pointer(ORG, pointer, registry.history(ORG))

    assert [past.version for past in past_versions(registry, ORG, second) if past.is_active] == [second]
    assert [past.version for past in past_versions(registry, ORG) if past.is_active] == [first]


def test_a_version_that_was_only_tried_is_told_from_one_that_went_live(registry: Registry) -> None:
    version = judged(registry, "activate")
    path = registry.root / ORG / version / "evaluation.json"
    judgement = registry.judgement(ORG, version)
    assert judgement is not None
    tried = msgspec.structs.replace(judgement, withheld=(Reason("only_tried", "It was only tried", 0, 0),))
    path.write_bytes(msgspec.json.encode(tried))

    assert table_rows(past_versions(registry, ORG))[0][5] == "activate, withheld"


def test_figures_have_their_intervals_where_they_were_stored(registry: Registry) -> None:
    judged(registry)
    judged(registry, auc=Estimate(0.7, 0.6, 0.8))

    newest, oldest = table_rows(past_versions(registry, ORG))

    assert newest[1:5] == ("2026-03-15", "1,200", "0.700 (0.600 to 0.800)", "0.700 (0.600 to 0.800)")
    assert oldest[3:5] == ("0.750", "0.200")


def test_a_damaged_version_is_told_as_such_and_hides_no_other(registry: Registry) -> None:
    damaged, sound = judged(registry), judged(registry)
    (registry.root / ORG / damaged / "evaluation.json").write_bytes(b"[]")

    found = past_versions(registry, ORG)

    assert [(past.version, past.decision) for past in found] == [(damaged, DAMAGED), (sound, "hold")]
    assert table_rows(found)[1] == (damaged, "", "", "", "", DAMAGED, "")
    assert str(versions_pictures(found)["roc_auc_over_time"].value).startswith(
        "![ROC-AUC over time](<data:image/svg+xml,"
    )


def test_only_the_last_versions_are_shown(registry: Registry) -> None:
    versions = [published(registry) for _ in range(MOST_VERSIONS + 2)]

    assert [past.version for past in past_versions(registry, ORG)] == versions[2:]


def test_an_org_without_versions_has_no_history(registry: Registry) -> None:
    assert past_versions(registry, ORG) == []
