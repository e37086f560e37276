"""What is promised about reading: one checked SQL file, a site's own file, and refusals that name every fault."""

from __future__ import annotations

import hashlib

import pytest

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT, Contract, Feature
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.extraction import RECORDS_SQL, extract
from leadscore_assets.source.outcomes import functions_sql
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window
from tests.leadscore_assets.source.site_sql import Site


def test_the_supplied_sql_is_named_by_the_hash_of_its_file_and_of_our_functions(crm: Crm) -> None:
    files = RECORDS_SQL.read_bytes() + functions_sql()
    assert crm.extract().counts.sql_sha256 == hashlib.sha256(files).hexdigest()


def test_the_columns_are_the_keys_and_the_contract_in_order(crm: Crm) -> None:
    crm.lead(day(100), ("LOST", day(99)))
    rows = crm.extract().rows
    assert list(rows.columns) == ["lead_id", "created_on", "landmark_days", "converted", *CONTRACT.names]
    assert [str(rows[name].dtype) for name in rows.columns[2:]] == [
        "int64",
        "int64",
        *["float64"] * len(CONTRACT.names),
    ]


def test_a_sites_own_file_is_read_in_place_of_ours(site: Site) -> None:
    records = site.extract_columns(tail="  -- all there is\n;\n", extra="'not read'")
    assert records.rows.to_dict("records") == [
        {"lead_id": "7", "created_on": "2026-01-02", "landmark_days": 0, "converted": 1}
        | dict.fromkeys(CONTRACT.names, 1.5)
    ]


def test_an_id_that_reads_like_nothing_stays_an_id(site: Site) -> None:
    records = site.extract_columns(tail=" FROM unnest(ARRAY['NA', 'null', 'é,\"x']) AS ids", lead_id="ids")
    assert list(records.rows["lead_id"]) == ["NA", "null", 'é,"x']


def test_whole_and_exact_numbers_are_numbers_and_what_is_not_finite_stays_to_be_judged(site: Site) -> None:
    rows = site.extract_columns(
        inbound_messages_count="3", property_price="0.1::numeric", engagement_rate="'-Infinity'::float8",
        response_time_minutes="NULL::float8", market_activity_score="'NaN'::float8",
    ).rows  # fmt: skip
    assert rows[["inbound_messages_count", "property_price", "engagement_rate"]].iloc[0].to_list() == [
        3,
        0.1,
        -float("inf"),
    ]
    assert rows[["response_time_minutes", "market_activity_score"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [
        ("lead_id", "''::text", "1 of 1 rows have no lead_id"),
        ("created_on", "NULL::date", "1 of 1 rows have no created_on"),
        ("landmark_days", "5", "1 of 1 rows have a landmark_days that is not"),
        ("landmark_days", "NULL::int", "1 of 1 rows have a landmark_days that is not"),
        ("converted", "2", "1 of 1 rows have a converted that is neither 0 nor 1"),
        ("converted", "0.5", "1 of 1 rows have a converted that is neither 0 nor 1"),
        ("converted", "NULL::int", "1 of 1 rows have a converted that is neither 0 nor 1"),
    ],
)
def test_rows_that_cannot_be_records_are_refused(site: Site, column: str, text: str, says: str) -> None:
    with pytest.raises(SourceMismatch, match=says):
        site.extract_columns(**{column: text})


def test_a_lead_has_one_row_per_landmark_and_one_label(site: Site) -> None:
    with pytest.raises(SourceMismatch, match="1 of 2 rows repeat the lead_id and landmark_days"):
        site.extract_columns(tail=" FROM generate_series(1, 2)")
    with pytest.raises(SourceMismatch, match="2 of 2 rows belong to a lead whose converted differs"):
        site.extract_columns(tail=" FROM generate_series(0, 1) AS n", landmark_days="n", converted="n")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT FROM FROM", "syntax error"),
        ("SELECT %(unheard_of)s", "unheard_of"),
        ("CREATE TABLE leads ()", "syntax error"),
    ],
)
def test_sql_that_fails_is_refused_in_the_databases_words(site: Site, query: str, says: str) -> None:
    with pytest.raises(SourceMismatch, match=says) as refusal:
        site.extract_sql(query)
    assert refusal.value.message.startswith("PostgreSQL refused the query while reading the records by site.sql: ")
    assert refusal.value.message.endswith("unset RECORDS_SQL to use Leadscore's own.")


def test_a_refusal_quotes_no_value_of_a_lead(site: Site) -> None:
    with pytest.raises(SourceMismatch) as refusal:
        site.extract_columns(tail=" FROM (SELECT 'ann@example.org' AS mail) AS leads", property_price="mail::float8")
    assert "ann@example.org" not in refusal.value.message
    assert refusal.value.__suppress_context__


def test_a_sites_sql_cannot_write(site: Site, crm: Crm) -> None:
    crm.lead(day(1))
    with pytest.raises(SourceMismatch, match="read-only transaction"):
        site.extract_columns(property_price="nextval('dossier_id_seq')::float8")


def test_a_file_that_is_not_there_is_refused_with_the_settings_name(site: Site) -> None:
    with pytest.raises(SourceMismatch, match="RECORDS_SQL"):
        extract(site.settings, ORG, window())


def test_tables_that_are_missing_are_named(database) -> None:
    set_up(database)
    with pytest.raises(SourceMismatch, match='relation "dossier" does not exist'):
        extract(database, ORG, window())


@pytest.mark.parametrize("missing", ["SCHEMA leadscore CASCADE", "FUNCTION leadscore.lead_outcomes"])
def test_a_database_without_our_functions_is_told_the_command_that_creates_them(own_crm: Crm, missing: str) -> None:
    own_crm.connection.execute(f"DROP {missing}")
    with pytest.raises(
        SourceMismatch, match=r"leadscore.* does not exist.*leadscore_assets\.commands\.set_up_database"
    ):
        own_crm.extract()


def test_a_feature_that_the_sql_does_not_return_is_missing(crm: Crm) -> None:
    grown = Contract((*CONTRACT.features, Feature("visits_count", "visits", "count", 0, 100, "visits so far")))
    with pytest.raises(SourceMismatch, match="visits_count is missing"):
        extract(crm.settings, ORG, window(), grown)
