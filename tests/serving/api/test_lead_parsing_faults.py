"""What is said of the faults of a batch: helpful for its first leads, costly for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leadscore.features import NEAREST_NAMES_GIVEN
from leadscore.settings import Settings
from serving.api.lead_parsing import MAX_FAULTS


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, max_body_bytes=2_000_000, max_batch_size=1_000)


def test_of_a_batch_the_nearest_known_name_is_said_of_the_first_unknown_ones(
    client: Any, shelf: Any, features: dict[str, Any]
) -> None:
    shelf.activated()
    batch = [features | {f"property_prise{lead}": 1, f"has_propety{lead}": 1} for lead in range(10)]

    answer = client.post("/api/v1/predict/batch", json={"batch": batch})

    details = [fault["detail"] for fault in answer.json["errors"]]
    assert len(details) == 20
    said = ["did you mean" in detail for detail in details]
    assert said == [True] * NEAREST_NAMES_GIVEN + [False] * (20 - NEAREST_NAMES_GIVEN)


def test_behind_many_faults_of_a_batch_the_first_of_each_further_lead_is_named(client: Any, shelf: Any) -> None:
    shelf.activated()

    answer = client.post("/api/v1/predict/batch", json={"batch": [{}] * 1_000})

    leads = [fault["pointer"].split("/")[2] for fault in answer.json["errors"]]
    in_full = MAX_FAULTS // 10  # all but one of the eleven features are required
    assert leads == [str(lead) for lead in range(1_000) for _ in range(10 if lead < in_full else 1)]
