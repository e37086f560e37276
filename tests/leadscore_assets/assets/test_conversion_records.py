"""conversion_records: what one run may ask for."""

from __future__ import annotations

from typing import Any

from tests.leadscore_assets.run_results import failure_text


def test_a_bad_as_of_is_refused_with_its_rule(train: Any) -> None:
    result = train("sound", run_config={"ops": {"conversion_records": {"config": {"as_of": "yesterday"}}}})

    assert "a date or a time in ISO 8601" in failure_text(result, "conversion_records")
