"""An unknown name is answered with the nearest known one: helpful for the first of a request, costly for all."""

from __future__ import annotations

from typing import Any

from leadscore.features import NEAREST_NAMES_GIVEN


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
