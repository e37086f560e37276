"""Every setting of the system, read once from the environment into one frozen object.

A setting is one field of `Settings`: its environment variable (the field's name in capitals), its default, its
rule and its meaning stand together. `read_settings` gathers every fault before it refuses. Where the value is
used, the object is passed. Elsewhere the environment is read only to start processes with it, and for
PROMETHEUS_MULTIPROC_DIR, which prometheus_client asks for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from leadscore.errors import InvalidSettings

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MAX_LANDMARK_DAYS = 365
CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (recognised, not bound)


@dataclass(frozen=True)
class Rule:
    """How a setting's text becomes a value, and the sentence that says which texts are allowed."""

    parse: Callable[[str], Any]
    says: str


def _bounded(number: type, low: float, high: float, unit: str) -> Rule:
    def parse(text: str) -> Any:
        value = number(text)
        if not low <= value <= high:
            raise ValueError
        return value

    kind = "a whole number" if number is int else "a number"
    return Rule(parse, f"{kind} of {unit} from {_shown(low)} to {_shown(high)}".replace(" of  from", " from"))


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _whole(low: float, high: float, unit: str = "") -> Rule:
    return _bounded(int, low, high, unit)


def _number(low: float, high: float, unit: str = "") -> Rule:
    return _bounded(float, low, high, unit)


def _matching(pattern: str, says: str) -> Rule:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Rule(parse, says)


def _one_of(*choices: str) -> Rule:
    def parse(text: str) -> str:
        if text.upper() not in choices:
            raise ValueError
        return text.upper()

    return Rule(parse, "one of " + ", ".join(choices))


def _list_of(item: Callable[[str], Any], says: str, is_valid: Callable[[tuple[Any, ...]], bool]) -> Rule:
    def parse(text: str) -> tuple[Any, ...]:
        values = tuple(item(part.strip()) for part in text.split(","))
        if not is_valid(values):
            raise ValueError
        return values

    return Rule(parse, says)


def parse_time(text: str) -> datetime:
    """Return the moment that `text` (ISO 8601: a date or a date and time, UTC unless it says otherwise) names."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parse_cron(text: str) -> str:
    parts = text.split()
    for part, (low, high) in zip(parts, CRON_RANGES, strict=True):
        for item in part.split(","):
            found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", item)
            if not found or any(not low <= int(number) <= high for number in found.groups()[:2] if number):
                raise ValueError
    return " ".join(parts)


def _optional(rule: Rule) -> Rule:
    return Rule(rule.parse, f"{rule.says}, or empty")


TEXT = _matching(r"[^\0\r\n]+", "one line of text")
URL = _matching(r"https?://[^\s/]+(/\S*)?", "an http or https address")
PORT = _whole(1, 65535)
PATH = Rule(lambda text: Path(text).expanduser(), "a path")
TIME = Rule(parse_time, "a date or a time in ISO 8601, such as 2026-03-15 or 2026-03-15T06:00:00")
SHARE = _number(0, 1)
FLAG = Rule(lambda text: ("false", "true").index(text.lower()) == 1, "true or false")
LANDMARKS = _list_of(
    int,
    f"whole days from 0 to {MAX_LANDMARK_DAYS}, increasing, separated by commas",
    lambda days: list(days) == sorted(set(days)) and days[0] >= 0 and days[-1] <= MAX_LANDMARK_DAYS,
)
STATUSES = _list_of(str, "one or more statuses separated by commas, such as WON", all)
CRON = Rule(_parse_cron, "a cron line of five fields: minute, hour, day of month, month, day of week, in numbers")


def _setting(default: Any, rule: Rule, meaning: str, *, secret: bool = False) -> Any:
    """Declare a field of Settings; the dataclass decorator turns what this returns into the default."""
    return field(default=default, repr=not secret, metadata={"rule": rule, "meaning": meaning, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """The settings of every process. Fields that hold secrets stay out of `repr`."""

    # the server
    port: int = _setting(5000, PORT, "port of the HTTP server")
    host: str = _setting("127.0.0.1", TEXT, "address the HTTP server listens on")
    server_url: str | None = _setting(None, _optional(URL), "address of the HTTP server as others reach it, for links")
    server_workers: int = _setting(2, _whole(1, 64), "processes of the HTTP server; as many as processors is best")
    server_threads: int = _setting(8, _whole(2, 256), "requests answered at a time by each process")
    max_body_bytes: int = _setting(8_000_000, _whole(1_000, 1_000_000_000, "bytes"), "largest request body")
    max_batch_size: int = _setting(1_000, _whole(1, 100_000), "largest number of leads in one batch")
    model_cache_bytes: int = _setting(
        512_000_000,
        _whole(1_000_000, 1_000_000_000_000, "bytes"),
        "memory for loaded versions, all orgs together; processes share it",
    )
    warm_up_seconds: float = _setting(
        1.0,
        _number(0, 600, "seconds"),
        "how long each process may load active versions before it listens, latest activated first; 0 turns this off",
    )
    max_queued_trainings: int = _setting(
        100, _whole(1, 100_000, "runs"), "trainings that may wait for their turn in Dagster; another one is refused"
    )
    train_wait_seconds: int = _setting(
        600, _whole(0, 3_600, "seconds"), "how long a training request waits for the result unless it says otherwise"
    )
    log_level: str = _setting("INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "least severe log line written")

    # the CRM's database
    db_host: str = _setting("localhost", TEXT, "PostgreSQL's host; with it set, `make run` starts no server of its own")
    db_port: int = _setting(5432, PORT, "PostgreSQL's port")
    db_name: str = _setting("backend_db", TEXT, "the CRM's database")
    db_user: str = _setting("postgres", TEXT, "user that reads the CRM's tables and owns the schema `leadscore`")
    db_password: str = _setting("postgres", TEXT, "that user's password", secret=True)

    # the registry
    model_path: Path = _setting(Path("./models"), PATH, "folder of the model registry")

    # Dagster
    dagster_url: str = _setting("http://127.0.0.1:3000", URL, "address of Dagster's webserver")
    dagster_public_url: str | None = _setting(
        None, _optional(URL), "address of Dagster's webserver as others reach it, for links; empty is DAGSTER_URL"
    )
    retrain_schedule: str = _setting("0 2 1 * *", CRON, "when every org that is due is trained again, in UTC")

    # what a training reads
    as_of: datetime | None = _setting(None, _optional(TIME), "train as if it were this time; empty is now")
    training_window_days: int = _setting(183, _whole(1, 3_650, "days"), "leads created in this many days are records")
    conversion_window_days: int = _setting(90, _whole(1, 730, "days"), "a lead converts within this time or not at all")
    conversion_statuses: tuple[str, ...] = _setting(("WON",), STATUSES, "statuses that count as a conversion")
    landmark_days: tuple[int, ...] = _setting(
        (0, 1, 3, 7, 14, 30, 60), LANDMARKS, "ages in days at which an open lead gives a row"
    )
    records_sql: Path | None = _setting(None, _optional(PATH), "file to use in place of conversion_records.sql")

    # the pooled model
    pooled_model: bool = _setting(
        False, FLAG, "learn one more model from the leads of all orgs, for orgs without an active model of their own"
    )

    # the gate
    min_records: int = _setting(100, _whole(1, 1_000_000, "records"), "fewest records that a version is judged on")
    min_holdout_per_class: int = _setting(
        3, _whole(1, 10_000, "leads"), "fewest converted, and fewest unconverted, leads in the holdout"
    )
    min_probability_better: float = _setting(
        0.8, SHARE, "how sure it must be that a candidate is better than a fresh active version, or than chance"
    )
    min_probability_better_stale: float = _setting(
        0.5, SHARE, "how sure, when the active version has seen nothing of the present training window"
    )
    max_roc_auc_decrease: float = _setting(0.01, SHARE, "a challenger's ROC-AUC may be worse by no more than this")
    max_brier_increase: float = _setting(0.01, SHARE, "a challenger's Brier score may be worse by no more than this")
    max_log_loss_increase: float = _setting(0.03, SHARE, "a challenger's log loss may be worse by no more than this")

    # the recommended action
    high_priority_probability: float = _setting(0.7, SHARE, "HIGH_PRIORITY needs this probability")
    high_priority_confidence: float = _setting(0.8, SHARE, "HIGH_PRIORITY needs this confidence")
    medium_priority_probability: float = _setting(0.5, SHARE, "MEDIUM_PRIORITY needs this probability")
    medium_priority_confidence: float = _setting(0.7, SHARE, "MEDIUM_PRIORITY needs this confidence")
    nurture_probability: float = _setting(0.3, SHARE, "NURTURE needs this probability")

    # the whole system on one machine
    state_dir: Path = _setting(Path("./.leadscore"), PATH, "folder of everything that `make run` keeps")
    dagster_port: int = _setting(3000, PORT, "port of Dagster's webserver under `make run`")
    code_server_port: int = _setting(4000, PORT, "port of Dagster's code server under `make run`")
    embedded_db_port: int = _setting(54320, PORT, "port of the embedded PostgreSQL")
    crm_data: Path | None = _setting(None, _optional(PATH), "folder of gzipped CSV files to load instead of simulating")

    @property
    def local_host(self) -> str:
        """The host of the HTTP server on this machine; one that listens everywhere is reached over loopback."""
        return "127.0.0.1" if self.host in EVERY_ADDRESS else self.host

    @property
    def local_address(self) -> str:
        """The address of the HTTP server on this machine."""
        return f"http://{self.local_host}:{self.port}"

    def link(self, path: str, **query: str) -> str:
        """Return the address of `path` on the HTTP server, with the query's values quoted."""
        base = self.server_url or self.local_address
        return base.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")

    def run_link(self, run_id: str | None) -> str | None:
        """Return the address of a run's page in Dagster; None when no run of Dagster's made the thing."""
        base = self.dagster_public_url or self.dagster_url
        return f"{base.rstrip('/')}/runs/{run_id}" if run_id else None

    def database_arguments(self, session: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the keyword arguments with which psycopg connects; `session` holds PostgreSQL's settings for it."""
        options = " ".join(f"-c {name}={value}" for name, value in (session or {}).items())
        return {
            "host": self.db_host,
            "port": self.db_port,
            "dbname": self.db_name,
            "user": self.db_user,
            "password": self.db_password,
            **({"options": options} if options else {}),
        }


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in `environment` (the process's own unless given); an empty value means the default.

    Raises InvalidSettings with every fault in one text. A secret's value is never shown.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in fields(Settings):
        text = environment.get(setting.name.upper(), "").strip()
        if not text:
            continue
        try:
            values[setting.name] = setting.metadata["rule"].parse(text)
        except (ValueError, OverflowError, RuntimeError):
            faults.append(_fault(setting, text))
    if not faults:
        settings = Settings(**values)
        faults = _faults_between(settings)
    if faults:
        raise InvalidSettings("\n".join(faults))
    return settings


def _fault(setting: Field[Any], text: str) -> str:
    shown = "the value given" if setting.metadata["secret"] else repr(text)
    return (
        f"{setting.name.upper()} is {shown}; it must be {setting.metadata['rule'].says}."
        f" Correct it, or unset it for the default."
    )


def _faults_between(settings: Settings) -> list[str]:
    if settings.landmark_days[-1] >= settings.conversion_window_days:
        return [
            f"LANDMARK_DAYS ends at {settings.landmark_days[-1]}, but a lead's outcome is known after"
            f" CONVERSION_WINDOW_DAYS ({settings.conversion_window_days}). Drop the later landmarks, or widen the"
            " window."
        ]
    return []
