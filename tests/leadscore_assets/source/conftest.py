"""The CRM that these tests make by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leadscore.settings import Settings
from tests.leadscore_assets.source.hand_made_crm import Crm


@pytest.fixture
def crm(database: Settings) -> Iterator[Crm]:
    """Give an empty CRM with the real tables."""
    made = Crm(database)
    yield made
    made.connection.close()
