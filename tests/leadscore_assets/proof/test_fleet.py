"""The list of orgs to look at, and the fault that is common to many."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from leadscore_assets.proof.evidence import ALARM_LOG_E, ALTERNATIVES
from leadscore_assets.proof.fleet import common_fault, compare_orgs, listed
from leadscore_assets.proof.process import Process
from tests.leadscore_assets.scored_org import Scored


def test_the_list_is_the_one_of_e_bh() -> None:
    """Of 100 orgs one needs an e-value of 1,000, two need 500 each, four 250."""
    quiet = np.zeros(96)
    assert listed(np.concatenate([np.log([999.0, 1.0, 1.0, 1.0]), quiet])).sum() == 0
    assert listed(np.concatenate([np.log([1_001.0, 1.0, 1.0, 1.0]), quiet])).tolist() == [True] + [False] * 99
    assert listed(np.concatenate([np.log([1.0, 501.0, 501.0, 1.0]), quiet])).sum() == 2
    assert listed(np.concatenate([np.log([251.0] * 4), quiet])).sum() == 4
    assert listed(np.zeros(0)).tolist() == []


def test_a_fault_of_few_orgs_is_not_common_however_strong() -> None:
    log_e = np.full((100, ALTERNATIVES), -0.1)
    log_e[:10] = 50.0
    assert common_fault(log_e) < 0


def test_a_soft_fault_of_all_is_common() -> None:
    log_e = np.full((100, ALTERNATIVES), -0.3)
    log_e[:, 2] = 0.15
    assert common_fault(log_e) > ALARM_LOG_E


@pytest.fixture
def judged(scored: Scored) -> Scored:
    """Give orgs of which the last has strong evidence against it."""
    for place in range(10):
        process = Process(leads=300, log_capital=(9.0 if place == 9 else -0.5,) * ALTERNATIVES)
        scored.connection.execute(
            "INSERT INTO leadscore.live_evidence VALUES (%s, '', %s)",
            [f"org-{place}", msgspec.json.encode(process).decode()],
        )
        scored.connection.execute(
            "INSERT INTO leadscore.live_performance (org_id, as_of, state, in_words, leads, log_e, figures, is_listed)"
            " VALUES (%s, now(), 'fine', '', 300, %s, '{}', %s)",
            [f"org-{place}", process.evidence.log_e, place == 0],
        )
    return scored


def test_orgs_are_put_on_the_list_and_taken_off(judged: Scored) -> None:
    fleet = compare_orgs(judged.connection)
    assert (fleet.orgs, fleet.listed, fleet.has_common_fault) == (10, ["org-9"], False)
    assert fleet.in_words == "1 of 10 orgs are on the list of those to look at."
    assert judged.rows("SELECT org_id FROM leadscore.live_performance WHERE is_listed") == [("org-9",)]


def test_comparing_again_changes_nothing(judged: Scored) -> None:
    """Each shard compares in the end, and two may do so at once."""
    for _ in range(3):
        assert compare_orgs(judged.connection).listed == ["org-9"]
    assert judged.rows("SELECT org_id FROM leadscore.live_performance WHERE is_listed") == [("org-9",)]


def test_a_fault_of_many_orgs_is_said(judged: Scored) -> None:
    judged.connection.execute(
        "UPDATE leadscore.live_evidence SET process = jsonb_set(process, '{log_capital}', %s)",
        [str([3.0] * ALTERNATIVES)],
    )
    assert "look at what they share, such as the feed" in compare_orgs(judged.connection).in_words


def test_without_judged_orgs_there_is_nothing_to_compare(scored: Scored) -> None:
    assert compare_orgs(scored.connection).orgs == 0
