"""Every error becomes a problem with a code of its own, and says nothing of the inside."""

from __future__ import annotations

import re
from pathlib import Path

import serving
from serving.api.problems import _OF_ROUTES, STATUSES
from tests.serving.refusals import assert_refused

PREDICT = "/api/v1/predict"


def test_a_refusal_has_a_code_with_a_meaning_and_the_status_of_that_code():
    refusals = re.findall(r'Refusal\((\d+), "(\w+)"', routes_source())
    refusals += re.findall(r'invalid\(.*, (\d+), "(\w+)"\)', routes_source())
    assert len(refusals) > 10
    for status, code in refusals:
        assert (code, int(status)) in STATUSES.items()


def test_a_code_that_only_a_route_refuses_with_is_used_by_one():
    for code in _OF_ROUTES:
        assert f'"{code}"' in routes_source()


def routes_source():
    root = Path(serving.__file__).parent
    return "".join(path.read_text() for path in sorted(root.rglob("*.py")) if path.name != "problems.py")


def test_a_defect_is_answered_without_detail_and_logged(client, parts, features, caplog):
    def fail(_org_id):
        raise ZeroDivisionError("a detail of the inside")

    parts.models.active = fail
    answer = client.post(PREDICT, json={"features": features})
    assert_refused(answer, 500)
    assert "detail of the inside" not in answer.text
    assert any(record.exc_info for record in caplog.records)
