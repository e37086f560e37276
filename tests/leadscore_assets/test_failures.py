"""A step fails in words, with the error's code for callers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from leadscore.errors import InvalidInput
from leadscore.settings import Settings
from leadscore_assets.failures import clear_failures
from tests.leadscore_assets.run_results import failure_text


def test_a_database_that_is_away_fails_the_run_in_words(train: Any, crm_settings: Settings) -> None:
    """The message names the settings to look at and never the password."""
    result = train("sound", settings=replace(crm_settings, db_port=1))

    text = failure_text(result, "conversion_records")
    assert "DB_HOST, DB_PORT" in text
    assert crm_settings.db_password not in text


def test_an_error_of_ours_fails_the_step_with_its_code_and_is_not_tried_again() -> None:
    with pytest.raises(dg.Failure) as caught, clear_failures():
        raise InvalidInput("as_of is 'yesterday'")
    assert caught.value.description == "as_of is 'yesterday'"
    assert caught.value.metadata["code"].value == InvalidInput.code
    assert not caught.value.allow_retries


def test_a_defect_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError), clear_failures():
        raise ZeroDivisionError
