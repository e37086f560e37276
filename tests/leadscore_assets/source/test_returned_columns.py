"""The columns that the records' SQL must return: what can be cast is cast, and a refusal names every other fault."""

from __future__ import annotations

import pytest

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT
from leadscore_assets.source.returned_columns import expected_columns
from tests.leadscore_assets.source.site_sql import COLUMNS, Site


def test_the_columns_are_the_keys_and_the_contracts_features() -> None:
    assert list(expected_columns(CONTRACT)) == list(COLUMNS)


def test_a_refusal_names_every_column_that_does_not_fit_and_the_remedy(site: Site) -> None:
    with pytest.raises(SourceMismatch) as refusal:
        site.extract_columns(
            created_on="'2026'::text", converted="'1'::text", has_property=None, engagement_rate="'9'::money"
        )
    assert refusal.value.message == (
        "site.sql does not return the expected columns: has_property is missing (expected double precision);"
        " created_on is text (expected date); converted is text (expected double precision);"
        " engagement_rate is money (expected double precision)."
        " Correct the SQL file, or unset RECORDS_SQL to use Leadscore's own."
    )


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("lead_id", "7", "7"),
        ("lead_id", "'8a1f0c1e-0000-4000-8000-00000000000a'::uuid", "8a1f0c1e-0000-4000-8000-00000000000a"),
        ("created_on", "timestamp '2026-01-02 23:59'", "2026-01-02"),
        ("created_on", "timestamptz '2026-01-02 23:59+00'", "2026-01-02"),
        ("landmark_days", "7.0", 7),
        ("converted", "true", 1),
        ("converted", "false", 0),
        ("has_property", "true", 1),
        ("property_price", "7::bigint", 7),
    ],
)
def test_a_type_that_postgresql_can_cast_is_cast(site: Site, column: str, text: str, value: object) -> None:
    assert list(site.extract_columns(**{column: text}).rows[column]) == [value]


def test_a_column_that_is_returned_twice_is_refused(site: Site) -> None:
    with pytest.raises(SourceMismatch, match="converted is returned 2 times"):
        site.extract_columns(tail=", 0 AS converted")
