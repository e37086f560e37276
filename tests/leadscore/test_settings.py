"""Settings: fixed defaults, every bad value named with its rule and remedy, and no secret ever shown."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leadscore.errors import InvalidSettings, NotInFolder
from leadscore.settings import Settings, read_settings, with_query

FIXED_BY_DESIGN = {
    "port": 5000,
    "db_host": "localhost",
    "db_port": 5432,
    "db_name": "backend_db",
    "db_user": "postgres",
    "db_password": "postgres",
    "model_path": Path("./models"),
    "log_level": "INFO",
    "training_window_days": 183,
    "conversion_window_days": 90,
    "conversion_statuses": ("WON",),
    "lost_statuses": ("LOST",),
    "conversion_is_final": False,
    "crm_time_zone": "UTC",
    "landmark_days": (0, 1, 3, 7, 14, 30, 60),
    "min_records": 100,
    "retrain_schedule": "0 2 1 * *",
    "pooled_model": False,
    "high_priority_probability": 0.7,
    "high_priority_confidence": 0.8,
    "medium_priority_probability": 0.5,
    "medium_priority_confidence": 0.7,
    "nurture_probability": 0.3,
}

BAD_VALUES = [
    ("PORT", "0", "a whole number from 1 to 65535"),
    ("PORT", "65536", "a whole number from 1 to 65535"),
    ("PORT", "5000.5", "a whole number from 1 to 65535"),
    ("PORT", "9" * 5_000, "a whole number from 1 to 65535"),
    ("DB_PORT", "five", "a whole number from 1 to 65535"),
    ("MAX_BODY_BYTES", "-1", "a whole number of bytes from 1000 to "),
    ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
    ("DB_HOST", "a\nb", "one line of text"),
    ("MODEL_PATH", "~no-such-user-anywhere/models", "a path"),
    ("MODEL_PATH", "ftp://bucket/models", "a path, or the URL of a folder in a bucket, such as s3://bucket/models"),
    ("MODEL_PATH", "s3://bucket/../models", "a path, or the URL"),
    ("MODEL_PATH", "s3://", "a path, or the URL"),
    ("DAGSTER_URL", "localhost:3000", "an http or https address"),
    ("SERVER_URL", "ftp://x", "an http or https address, or empty"),
    ("RETRAIN_SCHEDULE", "monthly", "a cron line of five fields"),
    ("RETRAIN_SCHEDULE", "a b c d e", "a cron line of five fields"),
    ("RETRAIN_SCHEDULE", "0 24 * * *", "a cron line of five fields"),
    ("RETRAIN_SCHEDULE", "0 2 0 * *", "a cron line of five fields"),
    ("AS_OF", "yesterday", "a date or a time in ISO 8601"),
    ("AS_OF", "0001-01-01T00:00+23:59", "a date or a time in ISO 8601"),
    ("LANDMARK_DAYS", "1,0", "whole days from 0 to 365, increasing"),
    ("LANDMARK_DAYS", "0,0", "whole days from 0 to 365, increasing"),
    ("LANDMARK_DAYS", "-1,3", "whole days from 0 to 365, increasing"),
    ("LANDMARK_DAYS", "0,366", "whole days from 0 to 365, increasing"),
    ("LANDMARK_DAYS", "0,,3", "whole days from 0 to 365, increasing"),
    ("CONVERSION_STATUSES", "WON,", "one or more statuses"),
    ("LOST_STATUSES", ",", "one or more statuses"),
    ("CONVERSION_IS_FINAL", "yes", "true or false"),
    # an abbreviation hides whether it has a summer time, and PostgreSQL reads the sign of UTC+2 the other way round
    ("CRM_TIME_ZONE", "CET", "UTC, or a zone of the tz database with its area, such as Europe/Paris"),
    ("CRM_TIME_ZONE", "UTC+2", "UTC, or a zone of the tz database"),
    ("CRM_TIME_ZONE", "+02:00", "UTC, or a zone of the tz database"),
    ("POOLED_MODEL", "yes", "true or false"),
    ("POOLED_MODEL", "1", "true or false"),
    ("MIN_PROBABILITY_BETTER", "1.01", "a number from 0 to 1"),
    ("MIN_PROBABILITY_BETTER", "nan", "a number from 0 to 1"),
    ("ANSWERED_SCORES", "yes", "one of ON, OFF"),
    ("ANSWERED_FEATURES_SHARE", "1.5", "a number from 0 to 1"),
    ("NURTURE_PROBABILITY", "30%", "a number from 0 to 1"),
]


def test_the_defaults_are_those_fixed_by_design() -> None:
    defaults = read_settings({})
    assert {name: getattr(defaults, name) for name in FIXED_BY_DESIGN} == FIXED_BY_DESIGN


def test_an_empty_value_means_the_default() -> None:
    names = [setting.name.upper() for setting in fields(Settings)]
    assert read_settings(dict.fromkeys(names, "")) == Settings()
    assert read_settings(dict.fromkeys(names, "  ")) == Settings()


def test_every_default_keeps_its_own_rule() -> None:
    for setting in fields(Settings):
        if setting.default is None:
            continue
        is_list = isinstance(setting.default, tuple)
        text = ",".join(map(str, setting.default)) if is_list else str(setting.default)
        assert getattr(read_settings({setting.name.upper(): text}), setting.name) == setting.default


@pytest.mark.parametrize(("name", "text", "rule"), BAD_VALUES)
def test_a_bad_value_is_refused_with_its_name_the_rule_and_the_remedy(name: str, text: str, rule: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({name: text})
    assert caught.value.message.startswith(f"{name} is {text!r}; it must be {rule}")
    assert caught.value.message.endswith("Correct it, or unset it to use the default.")


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({"PORT": "x", "LOG_LEVEL": "y", "MIN_PROBABILITY_BETTER": "z"})
    assert [line.split()[0] for line in caught.value.message.splitlines()] == [
        "PORT",
        "LOG_LEVEL",
        "MIN_PROBABILITY_BETTER",
    ]


def test_a_landmark_after_the_outcome_is_known_is_refused() -> None:
    assert read_settings({"LANDMARK_DAYS": "0,89"}).landmark_days == (0, 89)
    with pytest.raises(InvalidSettings, match=r"LANDMARK_DAYS ends at 90, .* after CONVERSION_WINDOW_DAYS"):
        read_settings({"LANDMARK_DAYS": "0,90"})


def test_a_history_that_ends_before_the_outcomes_are_known_is_refused() -> None:
    assert read_settings({"SCORE_HISTORY_DAYS": "152"}).score_history_days == 152
    with pytest.raises(InvalidSettings, match=r"SCORE_HISTORY_DAYS is 151, .* Raise SCORE_HISTORY_DAYS to 152 or more"):
        read_settings({"SCORE_HISTORY_DAYS": "151"})
    assert read_settings({"SCORE_HISTORY_DAYS": "92", "CONVERSION_WINDOW_DAYS": "30", "LANDMARK_DAYS": "0,3"})


def test_a_status_that_is_both_a_conversion_and_lost_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="CONVERSION_STATUSES and LOST_STATUSES both have SOLD"):
        read_settings({"CONVERSION_STATUSES": "WON,SOLD", "LOST_STATUSES": "SOLD,LOST"})


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "America/Port-au-Prince"])
def test_a_time_zone_is_taken_as_it_is(zone: str) -> None:
    assert read_settings({"CRM_TIME_ZONE": zone}).crm_time_zone == zone


def test_values_are_read_into_their_types() -> None:
    settings = read_settings(
        {
            "PORT": " 5001 ",
            "LOG_LEVEL": "debug",
            "LANDMARK_DAYS": "0, 2, 5",
            "CONVERSION_STATUSES": "WON, SIGNED",
            "MAX_ROC_AUC_DECREASE": "0.02",
            "RECORDS_SQL": "/etc/records.sql",
            "POOLED_MODEL": "True",
        }
    )
    assert (settings.port, settings.log_level, settings.landmark_days) == (5001, "DEBUG", (0, 2, 5))
    assert (settings.conversion_statuses, settings.max_roc_auc_decrease) == (("WON", "SIGNED"), 0.02)
    assert settings.records_sql == Path("/etc/records.sql")
    assert settings.pooled_model is True


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-15", datetime(2026, 3, 15, tzinfo=UTC)),
        ("2026-03-15T06:00:00", datetime(2026, 3, 15, 6, tzinfo=UTC)),
        ("2026-03-15T06:00:00+02:00", datetime(2026, 3, 15, 4, tzinfo=UTC)),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    assert read_settings({"AS_OF": text}).as_of == moment


def test_unknown_variables_are_not_ours_to_judge() -> None:
    assert read_settings({"PATH": "/bin", "PORT_": "x"}) == Settings()


CANARY = "canary-f00"


def test_a_secret_is_shown_neither_in_the_object_nor_in_an_error() -> None:
    settings = read_settings({"DB_PASSWORD": CANARY})
    assert settings.db_password == CANARY
    assert CANARY not in repr(settings) + str(settings)
    with pytest.raises(InvalidSettings) as caught:
        read_settings({"DB_PASSWORD": f"{CANARY}\nmore", "PORT": "x"})
    assert CANARY not in repr(caught.value) + str(caught.value)
    assert "DB_PASSWORD is the value given; it must be one line of text" in caught.value.message


@pytest.mark.parametrize("url", [f"s3://key:{CANARY}@bucket/models", f"az://models?sig={CANARY}"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(
        InvalidSettings, match=r"MODEL_PATH is the value given; it must be .*without credentials"
    ) as caught:
        read_settings({"MODEL_PATH": url})
    assert CANARY not in repr(caught.value) + str(caught.value)


def test_the_registry_is_a_folder_or_at_a_url() -> None:
    assert Settings().model_folder == Path("./models")
    for text, place in {
        "models": Path("models"),
        "s3://bucket/a/b-c_d.e": "s3://bucket/a/b-c_d.e",
        "gs://bucket/": "gs://bucket",
        "az://container/models": "az://container/models",
    }.items():
        assert read_settings({"MODEL_PATH": text}).model_path == place
    with pytest.raises(NotInFolder, match="gs://bucket"):
        _ = read_settings({"MODEL_PATH": "gs://bucket"}).model_folder


def test_every_setting_has_a_meaning_and_everything_that_sounds_secret_is_one() -> None:
    for setting in fields(Settings):
        assert setting.metadata["meaning"]
        sounds_secret = any(word in setting.name for word in ("password", "secret", "token", "key"))
        sounds_secret &= not setting.name.endswith("_file")  # which only says where it is
        assert (not sounds_secret) or (setting.metadata["secret"] and not setting.repr), setting.name


def test_a_link_goes_to_the_address_that_others_use() -> None:
    assert Settings(port=5001).link("/docs") == "http://127.0.0.1:5001/docs"
    assert Settings(server_url="https://scores.example/base/").link("/docs") == "https://scores.example/base/docs"


def test_the_databases_arguments_are_those_of_psycopg() -> None:
    assert Settings(db_name="crm", db_password=CANARY).database_arguments() == {
        "host": "localhost",
        "port": 5432,
        "dbname": "crm",
        "user": "postgres",
        "password": CANARY,
    }


@pytest.mark.parametrize("line", ["0 2 1 * *", "*/15 0-6 * * 1-5", "0,30 2 1,15 */3 7"])
def test_a_cron_line_is_taken_as_it_is(line: str) -> None:
    assert read_settings({"RETRAIN_SCHEDULE": line}).retrain_schedule == line


def test_a_link_quotes_what_its_query_asks_for() -> None:
    link = Settings().link("/api/v1/model/info", org_id="acme.eu@1:a", version="20260315060000")
    assert link == "http://127.0.0.1:5000/api/v1/model/info?org_id=acme.eu%401%3Aa&version=20260315060000"
    assert with_query("/api/v1/leads", org_id="a b", cursor="x=") == "/api/v1/leads?org_id=a+b&cursor=x%3D"
    assert with_query("/docs") == "/docs"


def test_a_link_leads_to_an_address_that_can_be_opened() -> None:
    """Listening everywhere is no address; a public one that is set comes first."""
    assert read_settings({"HOST": "0.0.0.0", "PORT": "5050"}).link("/health") == "http://127.0.0.1:5050/health"
    assert read_settings({"SERVER_URL": "https://leads.example/"}).link("/health") == "https://leads.example/health"
