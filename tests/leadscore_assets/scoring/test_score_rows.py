"""The rows as COPY takes them: text is escaped, and unknown numbers are null."""

from __future__ import annotations

import pytest

from leadscore_assets.scoring.score_rows import text
from tests.leadscore_assets.scored_org import ORG, Scored

IDS = ("a\tb", "a\nb", "a\\b", r"\N", "a\r", "Größe, 'x' \"y\" {z}")


@pytest.mark.parametrize("value", IDS)
def test_a_text_is_read_back_as_it_was(scored: Scored, value: str) -> None:
    connection = scored.connection
    with connection.transaction():
        connection.execute("CREATE TEMP TABLE copied (value text) ON COMMIT DROP")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write(text(value) + "\n")
        assert scored.value("SELECT value FROM copied") == value


def test_an_unknown_value_is_null_in_the_row(scored: Scored) -> None:
    scored.score()
    unknown = scored.value("SELECT count(*) FROM leadscore.lead_score WHERE features[2] IS NULL")
    unanswered = scored.value(
        "SELECT count(*) FROM leadscore.lead_score WHERE org_id = %s AND NOT EXISTS (SELECT FROM message"
        " WHERE dossier_id::text = lead_id AND direction = 'OUTBOUND')",
        ORG,
    )
    assert unknown == unanswered > 0
