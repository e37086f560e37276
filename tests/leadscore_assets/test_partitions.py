"""Which of the CRM's ids may become partitions."""

from __future__ import annotations

import logging

import pytest

from leadscore.pooling import POOLED
from leadscore_assets.partitions import valid_org_ids


def test_ids_that_may_be_keys_keep_their_order_and_the_others_are_counted_with_the_rule(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = ["b", "../etc", "a.eu", POOLED, "", "c"]
    assert valid_org_ids(given, logging.getLogger("a.test")) == ["b", "a.eu", "c"]
    [record] = caplog.records
    assert record.getMessage().startswith("left out 3 orgs whose ids are not valid: ")
    assert "etc" not in caplog.text


def test_nothing_is_logged_when_all_ids_may_be_keys(caplog: pytest.LogCaptureFixture) -> None:
    assert valid_org_ids(["a", "b"], logging.getLogger("a.test")) == ["a", "b"]
    assert caplog.records == []
