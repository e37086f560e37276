"""The tables of the scores, their months, and the words that people read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from leadscore.features import CONTRACT, Words
from leadscore.settings import PROJECT_ROOT
from leadscore_assets.scoring.tables import create_month_of_history, create_tables, drop_old_history
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("response_time_minutes", 49, "answered after 49 minutes"),
        ("response_time_minutes", 1, "answered after 1 minute"),
        ("response_time_minutes", 150, "answered after 3 hours"),
        ("response_time_minutes", 3_000, "answered after 2 days"),
        ("response_time_minutes", None, "not answered yet"),
        ("inbound_messages_count", 0, "no message from the lead"),
        ("inbound_messages_count", 1, "1 message from the lead"),
        ("appointments_count", 2, "2 appointments booked"),
        ("property_price", 250_000, "listing costs 250,000"),
        ("has_property", 1, "asks about a listing"),
        ("has_property", 0, "asks about no listing"),
        ("engagement_rate", 0.8, "0.8 messages from the lead per message to it"),
        ("days_since_creation", 7, "7 days old"),
        ("of_another_release", 3, "of_another_release 3"),
    ],
)
def test_a_value_is_said_in_words(scored: Scored, feature: str, value: float | None, words: str) -> None:
    assert scored.value("SELECT leadscore.value_in_words(%s, %s)", feature, value) == words


def test_every_feature_has_words_for_its_example(scored: Scored) -> None:
    for feature in CONTRACT.features:
        assert isinstance(feature.words, Words)
        said = scored.value("SELECT leadscore.value_in_words(%s, %s)", feature.name, feature.example)
        assert "{}" not in said
        assert feature.name not in said


def test_a_share_is_said_in_points(scored: Scored) -> None:
    assert [scored.value("SELECT leadscore.points(%s)", share) for share in (-0.0812, 0.012, 0.2)] == [
        "\N{MINUS SIGN}8 points",
        "+1 point",
        "+20 points",
    ]


def test_a_role_with_the_documented_rights_reads_the_call_list_alone(scored: Scored) -> None:
    scored.score()
    written = (PROJECT_ROOT / "docs" / "scoring.md").read_text()
    query, rights = re.findall(r"```sql\n(.*?)```", written, re.DOTALL)[:2]
    with scored.connection.transaction(force_rollback=True):
        scored.connection.execute("CREATE ROLE crm_backend")
        scored.connection.execute(rights.encode())
        scored.connection.execute("SET LOCAL ROLE crm_backend")
        assert len(scored.rows(query.replace("'default'", f"'{ORG}'"))) == 40
        with pytest.raises(psycopg.errors.InsufficientPrivilege), scored.connection.transaction():
            scored.connection.execute("SELECT * FROM leadscore.lead_score")


def test_the_call_list_ranks_the_leads_and_says_why(scored: Scored) -> None:
    scored.score()
    rows = scored.rows(
        "SELECT rank, probability, reasons FROM leadscore.call_list WHERE org_id = %s ORDER BY rank", ORG
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert all(0 < len(row[2]) <= 3 and row[2][0].endswith((" points", " point")) for row in rows)


def test_the_age_that_is_said_is_that_of_the_last_scoring(scored: Scored) -> None:
    """The row of a lead may be older than the list."""
    scored.score()
    scored.connection.execute("UPDATE leadscore.scoring_run SET as_of = as_of + interval '10 days'")
    names, created_at = [*CONTRACT.names], NOW - timedelta(days=30)
    said = scored.value(
        "SELECT leadscore.reasons_in_words(%s, %s, %s, extract(epoch FROM as_of - %s) / 86400, 1)"
        " FROM leadscore.last_scoring",
        names,
        [1.0] * len(names),
        [1.0 if name == "days_since_creation" else 0.0 for name in names],
        created_at,
    )
    assert said == ["40 days old: +100 points"]


def test_a_second_set_up_says_the_features_of_the_present_contract(scored: Scored) -> None:
    create_tables(scored.connection)
    create_tables(scored.connection)
    assert scored.value("SELECT count(*) FROM leadscore.feature_words") == len(CONTRACT.names)


def test_months_are_made_once_and_dropped_when_they_are_over(scored: Scored) -> None:
    for month in (1, 2, 2, 12):
        create_month_of_history(scored.connection, datetime(2026, month, 28, 23, tzinfo=UTC))
    assert drop_old_history(scored.connection, datetime(2026, 2, 1, tzinfo=UTC)) == ["lead_score_history_2026_01"]
    assert drop_old_history(scored.connection, datetime(2026, 2, 28, tzinfo=UTC)) == []
    assert scored.value("SELECT to_regclass('leadscore.lead_score_history_2026_12') IS NOT NULL")
