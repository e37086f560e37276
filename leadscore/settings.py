"""Every setting of the system, read once from the environment into one frozen object.

A setting is one field of `Settings`, which holds its default, its rule and its meaning; the field's name in capitals is
the environment variable. `read_settings` reports all invalid values at once. Code that needs a setting gets the object
passed in. Otherwise the environment is read only to start child processes, and for PROMETHEUS_MULTIPROC_DIR, which
prometheus_client requires.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from leadscore.errors import InvalidSettings, NotInFolder

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MAX_LANDMARK_DAYS = 365
CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (recognised, not bound)


@dataclass(frozen=True)
class Rule:
    """Parses a setting's text into its value; `says` describes the texts that are allowed."""

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
    """Return the moment that `text` names: an ISO 8601 date or time, in UTC unless it has an offset."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _bucket(text: str) -> str:
    """Return the URL of a folder in a bucket, as it is written everywhere; a user, a query or a fragment is refused."""
    if not re.fullmatch(r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._=-]+)*/?", text) or "/.." in text:
        raise ValueError
    return text.rstrip("/")


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
REGISTRY = Rule(
    lambda text: _bucket(text) if "://" in text else Path(text).expanduser(),
    "a path, or the URL of a folder in a bucket, such as s3://bucket/models, gs://bucket/models or"
    " az://container/models, without credentials",
)
TIME = Rule(parse_time, "a date or a time in ISO 8601, such as 2026-03-15 or 2026-03-15T06:00:00")
SHARE = _number(0, 1)
FLAG = Rule(lambda text: ("false", "true").index(text.lower()) == 1, "true or false")
LANDMARKS = _list_of(
    int,
    f"whole days from 0 to {MAX_LANDMARK_DAYS}, increasing, separated by commas",
    lambda days: list(days) == sorted(set(days)) and days[0] >= 0 and days[-1] <= MAX_LANDMARK_DAYS,
)
STATUSES = _list_of(str, "one or more statuses separated by commas, such as WON", all)
TIME_ZONE = _matching(
    r"UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+", "UTC, or a zone of the tz database with its area, such as Europe/Paris"
)
HOSTS = _list_of(
    str,
    "host names separated by commas, without ports, such as scores.example,10.0.0.7",
    lambda names: all(re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name) for name in names),
)
SECRET = _matching(r"[\x21-\x7e]{16,}", "16 or more characters of ASCII without spaces")
CRON = Rule(_parse_cron, "a cron line of five fields: minute, hour, day of month, month, day of week, in numbers")


def _setting(default: Any, rule: Rule, meaning: str, *, secret: bool = False) -> Any:
    """Declare a field of Settings; the dataclass decorator turns what this returns into the default."""
    return field(default=default, repr=not secret, metadata={"rule": rule, "meaning": meaning, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """The settings of every process. Fields that hold secrets stay out of `repr`."""

    # the server
    port: int = _setting(5000, PORT, "port of the HTTP server")
    host: str = _setting("127.0.0.1", TEXT, "address that the HTTP server listens on")
    server_url: str | None = _setting(None, _optional(URL), "URL of the HTTP server in links, as browsers reach it")
    auth: str = _setting(
        "AUTO",
        _one_of("AUTO", "OFF"),
        "AUTO asks for a token when there are any, and always when HOST is not loopback; OFF never asks",
    )
    allowed_hosts: tuple[str, ...] | None = _setting(
        None,
        _optional(HOSTS),
        "names that the header Host may have besides localhost, HOST and SERVER_URL's; when empty, any name unless HOST"
        " is loopback",
    )
    tokens_file: Path | None = _setting(
        None, _optional(PATH), "file of the access tokens; when empty, tokens.json in STATE_DIR"
    )
    server_workers: int = _setting(2, _whole(1, 64), "number of HTTP server processes; one per processor is best")
    server_threads: int = _setting(8, _whole(2, 256), "requests that each process answers at a time")
    max_body_bytes: int = _setting(2_000_000, _whole(1_000, 1_000_000_000, "bytes"), "largest request body, in bytes")
    max_batch_size: int = _setting(1_000, _whole(1, 100_000), "largest number of leads in one batch")
    model_cache_bytes: int = _setting(
        512_000_000,
        _whole(1_000_000, 1_000_000_000_000, "bytes"),
        "memory for the loaded versions of all orgs, in bytes; the processes share it",
    )
    warm_up_seconds: float = _setting(
        1.0,
        _number(0, 600, "seconds"),
        "seconds that each process may load active versions before it listens, latest activated first; 0 loads none",
    )
    max_queued_trainings: int = _setting(
        100, _whole(1, 100_000, "runs"), "trainings that may wait for their turn in Dagster; another one is refused"
    )
    train_wait_seconds: int = _setting(
        600,
        _whole(0, 3_600, "seconds"),
        "seconds that a training request waits for its result, unless it names its own `wait`",
    )
    answered_scores: str = _setting(
        "ON",
        _one_of("ON", "OFF"),
        "ON: scores that are answered for a lead that the request names are stored in the CRM's database, in"
        " leadscore.answered_score; OFF: they are not",
    )
    answered_features_share: float = _setting(
        0.01,
        SHARE,
        "share of these leads whose features are stored, too, where the request brought them, beside the first 20 a day"
        " of each org; 0 for none",
    )
    log_level: str = _setting(
        "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "lowest level of log lines that are written"
    )

    # the CRM's database
    db_host: str = _setting(
        "localhost", TEXT, "host of PostgreSQL; when it is set, `make run` does not start its own PostgreSQL"
    )
    db_port: int = _setting(5432, PORT, "port of PostgreSQL")
    db_name: str = _setting("backend_db", TEXT, "name of the CRM's database")
    db_user: str = _setting(
        "postgres", TEXT, "user that reads the CRM's tables and owns the schemas `leadscore` and `dagster`"
    )
    db_password: str = _setting("postgres", TEXT, "password of DB_USER", secret=True)

    row_security: str = _setting(
        "OFF",
        _one_of("OFF", "ON"),
        "OFF: rows that a row-level security policy hides are an error; ON: they are left out silently, so use ON only"
        " where the policy shows the role every row",
    )
    org_absent_days: float = _setting(
        7.0,
        _number(0, 365, "days"),
        "days that an org without leads keeps its partition, and that leads which the CRM no longer has stay in our"
        " tables",
    )
    max_orgs_removed_share: float = _setting(
        0.2,
        SHARE,
        "largest share of all orgs that may lose their partitions or have their models withdrawn at once, and of all"
        " leads that may be erased at once; above it, nothing is removed, withdrawn or erased",
    )

    # the registry
    model_path: Path | str = _setting(
        Path("./models"),
        REGISTRY,
        "the model registry: a folder, or a URL such as s3://bucket/models where several machines share it",
    )

    # Dagster
    dagster_url: str = _setting("http://127.0.0.1:3000", URL, "URL of Dagster's webserver")
    dagster_public_url: str | None = _setting(
        None, _optional(URL), "URL of Dagster's webserver in links, as browsers reach it; when empty, DAGSTER_URL"
    )
    retrain_schedule: str = _setting(
        "0 2 1 * *", CRON, "cron schedule, in UTC, on which the orgs that are due are trained again"
    )
    training_shards: int = _setting(
        2,
        _whole(1, 1_000, "runs"),
        "runs among which the trainings of many orgs are divided; one per processor of all machines is best",
    )
    score_schedule: str = _setting(
        "0 5 * * *", CRON, "cron schedule, in UTC, on which the open leads of all orgs are scored"
    )
    proof_schedule: str = _setting(
        "30 5 * * *", CRON, "cron schedule, in UTC, on which scores are compared with what became of the leads"
    )
    scoring_shards: int = _setting(
        2,
        _whole(1, 64, "runs"),
        "runs among which a scoring or a comparison for all orgs is divided; one per processor is best",
    )
    score_history_days: int = _setting(
        400, _whole(31, 3_650, "days"), "days that the history of the scores is kept, in whole months"
    )
    # what is kept, and for how long
    retention_schedule: str = _setting(
        "15 4 * * *", CRON, "cron schedule, in UTC, on which what is older than the settings below is removed"
    )
    keep_versions: int = _setting(
        3,
        _whole(1, 1_000, "versions"),
        "newest versions of each org whose files are kept, beside those that are or were active",
    )
    keep_activated_days: int = _setting(
        90,
        _whole(1, 3_650, "days"),
        "days that the files of a version are kept after it was active; those of the active one and of the one before"
        " it always are",
    )
    keep_records_days: int = _setting(
        45,
        _whole(1, 3_650, "days"),
        "days that the rows of conversion_records and lead_features of an org are kept after they were stored",
    )
    keep_run_logs_days: int = _setting(
        30, _whole(1, 3_650, "days"), "days that Dagster keeps the steps, messages and output of a run"
    )
    keep_daily_events_days: int = _setting(
        14,
        _whole(1, 3_650, "days"),
        "days that Dagster keeps the materializations and checks of the daily assets; the newest of an org always are",
    )
    keep_events_days: int = _setting(
        731,
        _whole(1, 3_650, "days"),
        "days that Dagster keeps the materializations and checks of trainings, and runs; the newest of each org always"
        " are",
    )
    dagster_token: str | None = _setting(
        None,
        _optional(SECRET),
        "secret by which Dagster's webserver knows the HTTP server; `make run` makes one",
        secret=True,
    )
    dagster_token_file: Path | None = _setting(
        None, _optional(PATH), "file that holds DAGSTER_TOKEN where that is not set, as in the containers"
    )

    # training data
    as_of: datetime | None = _setting(None, _optional(TIME), "time as of which to train; when empty, now")
    training_window_days: int = _setting(
        183, _whole(1, 3_650, "days"), "leads created more than this many days ago are not used"
    )
    conversion_window_days: int = _setting(
        90, _whole(1, 730, "days"), "days after its creation within which a lead must convert to count as converted"
    )
    conversion_statuses: tuple[str, ...] = _setting(("WON",), STATUSES, "statuses that count as a conversion")
    lost_statuses: tuple[str, ...] = _setting(("LOST",), STATUSES, "statuses that close a lead without a conversion")
    open_statuses: tuple[str, ...] = _setting(
        ("DRAFT", "NEW", "QUALIFYING", "QUALIFIED", "APPOINTMENT"),
        STATUSES,
        "statuses in which a lead is open; a status that no setting names leaves it open, too, and is counted as"
        " unknown",
    )
    conversion_is_final: bool = _setting(
        False,
        FLAG,
        "true: the first conversion counts, whatever follows; false: what holds when the conversion window ends counts",
    )
    crm_time_zone: str = _setting(
        "UTC", TIME_ZONE, "zone in which the CRM writes its times; columns with a zone of their own need none"
    )
    landmark_days: tuple[int, ...] = _setting(
        (0, 1, 3, 7, 14, 30, 60),
        LANDMARKS,
        "lead ages in days; a lead gives one row for each age at which it is still open",
    )
    records_sql: Path | None = _setting(None, _optional(PATH), "SQL file to use instead of conversion_records.sql")

    # the pooled model
    pooled_model: bool = _setting(
        False,
        FLAG,
        "train one more model on the leads of all orgs; it serves orgs without an active model, and their trainings"
        " begin with it",
    )

    # the gate
    min_records: int = _setting(100, _whole(1, 1_000_000, "records"), "minimum number of records for a training")
    min_holdout_per_class: int = _setting(
        3, _whole(1, 10_000, "leads"), "minimum number of converted leads in the holdout, and of unconverted leads"
    )
    min_probability_better: float = _setting(
        0.8,
        SHARE,
        "minimum probability that a candidate beats chance, or a pooled model of the same training window",
    )
    min_probability_better_stale: float = _setting(
        0.5, SHARE, "the same minimum when the pooled model has seen none of the candidate's training window"
    )
    min_probability_not_worse: float = _setting(
        0.25,
        SHARE,
        "minimum probability that a candidate is no worse than the active version, or a taught one than the pooled"
        " model",
    )
    max_roc_auc_decrease: float = _setting(0.01, SHARE, "how far a candidate's ROC-AUC may be below the pooled model's")
    max_brier_increase: float = _setting(
        0.01, SHARE, "how far a candidate's Brier score may be above the active version's"
    )
    max_log_loss_increase: float = _setting(
        0.03, SHARE, "how far a candidate's log loss may be above the active version's"
    )

    # the recommended action
    high_priority_probability: float = _setting(0.7, SHARE, "minimum probability for HIGH_PRIORITY")
    high_priority_confidence: float = _setting(0.8, SHARE, "minimum confidence for HIGH_PRIORITY")
    medium_priority_probability: float = _setting(0.5, SHARE, "minimum probability for MEDIUM_PRIORITY")
    medium_priority_confidence: float = _setting(0.7, SHARE, "minimum confidence for MEDIUM_PRIORITY")
    nurture_probability: float = _setting(0.3, SHARE, "minimum probability for NURTURE")

    # the whole system on one machine
    state_dir: Path = _setting(Path("./.leadscore"), PATH, "folder for all files that `make run` keeps")
    log_file_bytes: int = _setting(
        20_000_000,
        _whole(10_000, 10_000_000_000, "bytes"),
        "size of a log file of `make run`, in bytes, at which a new one is begun",
    )
    log_files: int = _setting(5, _whole(1, 1_000, "files"), "log files of each part that `make run` keeps")
    dagster_port: int = _setting(3000, PORT, "port of Dagster's webserver under `make run`")
    code_server_port: int = _setting(4000, PORT, "port of Dagster's code server under `make run`")
    embedded_db_port: int = _setting(54320, PORT, "port of the embedded PostgreSQL")
    crm_data: Path | None = _setting(None, _optional(PATH), "folder of CSV files to load instead of a simulated CRM")

    @property
    def model_folder(self) -> Path:
        """The registry's folder. Raises NotInFolder when it is at a URL."""
        if isinstance(self.model_path, Path):
            return self.model_path
        raise NotInFolder(self.model_path)

    @property
    def is_on_loopback(self) -> bool:
        """Whether the HTTP server listens where only this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def tokens_path(self) -> Path:
        """The file of the access tokens, the same for every process."""
        return self.tokens_file or self.state_dir / "tokens.json"

    @property
    def local_host(self) -> str:
        """The host at which this machine reaches the HTTP server; loopback for a server on all addresses."""
        return "127.0.0.1" if self.host in EVERY_ADDRESS else self.host

    @property
    def local_address(self) -> str:
        """The address of the HTTP server on this machine."""
        return f"http://{self.local_host}:{self.port}"

    def link(self, path: str, **query: str) -> str:
        """Return the address of `path` on the HTTP server, with the query's values quoted."""
        base = self.server_url or self.local_address
        return base.rstrip("/") + with_query(path, **query)

    def run_link(self, run_id: str | None) -> str | None:
        """Return the URL of a run's page in Dagster, None without a run id."""
        base = self.dagster_public_url or self.dagster_url
        return f"{base.rstrip('/')}/runs/{run_id}" if run_id else None

    def database_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments with which psycopg connects. What a session needs, each transaction sets."""
        return {
            "host": self.db_host,
            "port": self.db_port,
            "dbname": self.db_name,
            "user": self.db_user,
            "password": self.db_password,
        }

    def transaction_settings(self, *, timeout_seconds: float, read_only: bool) -> str:
        """Return the SQL with which each transaction on the CRM's database begins.

        At the connection's start nothing is set: a pooler drops or refuses it. Nor is the session set: a pooler hands
        it on to the CRM's own programs.
        """
        local = {
            "transaction_read_only": "on" if read_only else "off",
            "timezone": "'UTC'",
            "statement_timeout": f"{round(timeout_seconds * 1_000)}",
            # rows that a policy would hide are an error: orgs that cannot be seen must not be taken for gone
            "row_security": self.row_security.lower(),
        }
        return "; ".join(f"SET LOCAL {name} = {value}" for name, value in local.items())


def with_query(path: str, **query: str) -> str:
    """Return `path` with the query's values quoted, as an address on the same server."""
    return path + (f"?{urlencode(query)}" if query else "")


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in `environment` (the process's own unless given); an empty value means the default.

    Raises InvalidSettings, whose text names all invalid values. It never shows a secret's value.
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
    may_hold_secret = setting.metadata["secret"] or re.search(r"://.*[@?]", text)
    shown = "the value given" if may_hold_secret else repr(text)
    return (
        f"{setting.name.upper()} is {shown}; it must be {setting.metadata['rule'].says}."
        f" Correct it, or unset it to use the default."
    )


def _faults_between(settings: Settings) -> list[str]:
    return [*_landmark_faults(settings), *_status_faults(settings), *_history_faults(settings)]


def _history_faults(settings: Settings) -> list[str]:
    # whole months are dropped, and a lead is judged some days after its window
    fewest = settings.conversion_window_days + 62
    if settings.score_history_days >= fewest:
        return []
    return [
        f"SCORE_HISTORY_DAYS is {settings.score_history_days}, but a score is compared with its outcome after"
        f" CONVERSION_WINDOW_DAYS ({settings.conversion_window_days}). Raise SCORE_HISTORY_DAYS to {fewest} or more."
    ]


def _landmark_faults(settings: Settings) -> list[str]:
    if settings.landmark_days[-1] < settings.conversion_window_days:
        return []
    return [
        f"LANDMARK_DAYS ends at {settings.landmark_days[-1]}, but a lead's outcome is known after"
        f" CONVERSION_WINDOW_DAYS ({settings.conversion_window_days}). Remove the later landmarks, or raise"
        " CONVERSION_WINDOW_DAYS."
    ]


def _status_faults(settings: Settings) -> list[str]:
    both = [status for status in settings.conversion_statuses if status in settings.lost_statuses]
    if not both:
        return []
    return [
        f"CONVERSION_STATUSES and LOST_STATUSES both have {', '.join(both)}. A status either is a conversion or closes"
        " a lead without one; remove it from one of them."
    ]
