"""What is asked of the database about an org's data is what a training that starts now would read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from leadscore.errors import InvalidId
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from serving.dependencies.readiness_source import present_window
from serving.services import Services
from tests.serving.crm_of_leads import AS_OF


def test_a_training_that_is_refused_would_be_asked_for_as_of_the_setting_or_now(settings: Settings) -> None:
    now = datetime.now(UTC)
    assert present_window(replace(settings, as_of=AS_OF)).as_of == AS_OF
    for as_of in (None, now + timedelta(days=900)):
        assert abs(present_window(replace(settings, as_of=as_of)).as_of - now) < timedelta(minutes=1)


def test_the_pooled_model_has_no_leads_of_its_own_and_the_database_is_not_asked(parts: Services) -> None:
    with pytest.raises(InvalidId):
        parts.readiness.readiness(POOLED)
