"""A run that failed is told by the kind of its failure, in words that are fit for callers."""

from __future__ import annotations

import pytest
from flask import Flask

from leadscore.errors import LeadscoreError
from serving.training.failure_messages import MESSAGES
from tests.serving.scripted_dagster import post, step_failure


@pytest.fixture
def app(app_with_dagster: Flask) -> Flask:
    """Let the client be one of the app with the scripted Dagster."""
    return app_with_dagster


def codes_of(kind: type[LeadscoreError]) -> set[str]:
    """Return the codes of an error and of all that derive from it."""
    return {kind.code}.union(*(codes_of(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("code", sorted(codes_of(LeadscoreError)))
def test_a_failure_is_told_by_its_kind_and_never_by_its_own_text(client, dagster, code):
    """The text may name a path, a table, a host or a user: none of that is for callers."""
    dagster.statuses = ["FAILURE"]
    dagster.failures = [step_failure('/srv/secret.sql: relation "secret" does not exist at db.secret:5432', code=code)]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "training_failed")
    assert (
        answer.json["detail"] == f"{MESSAGES.get(code, 'the training run failed')}; the run in Dagster has the details"
    )
    assert answer.json["run_id"] == dagster.run_id
    assert "secret" not in answer.text
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("source_mismatch", "the CRM's data does not have the form"),
        ("database_unavailable", "database"),
        ("not_materialized", "earlier asset"),
        ("damaged", "stored files"),
        ("unsupported_format", "format"),
        ("registry_unavailable", "registry"),
        ("active_version_moved", "another version"),
        ("invalid_input", "data"),
        ("invalid_settings", "setting"),
    ],
)
def test_each_kind_of_failure_that_a_training_meets_has_words(code, kind):
    assert kind in MESSAGES[code]
    assert code in codes_of(LeadscoreError)


def test_of_several_failures_the_first_with_a_known_kind_is_told(client, dagster):
    dagster.statuses = ["FAILURE"]
    dagster.failures = [
        step_failure("x"),
        step_failure("y", code="source_mismatch"),
        step_failure("z", code="not_materialized"),
    ]
    assert post(client).json["detail"].startswith(MESSAGES["source_mismatch"])


def test_a_failure_of_another_kind_is_told_without_its_words(client, dagster):
    dagster.statuses = ["FAILURE"]
    dagster.failures = [step_failure("KeyError in /srv/secret.py")]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "training_failed")
    assert "secret" not in answer.text
