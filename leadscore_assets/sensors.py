"""The sensors: they follow the CRM's orgs, ids and leads, the registry, the orgs' health, schedules and runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import dagster as dg
import msgspec

from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets import score_ages
from leadscore_assets.absent_orgs import AbsentOrgs, absent_orgs
from leadscore_assets.changed_orgs import assess, withdraw_changed
from leadscore_assets.changed_orgs import follow_identities as follow
from leadscore_assets.checks import leads_are_in_crm_event, orgs_have_leads_event, orgs_keep_their_leads_event
from leadscore_assets.deadlines import deadlines
from leadscore_assets.failed_runs import tell_of_failure, trains_an_org
from leadscore_assets.health.refresh import refresh
from leadscore_assets.health.schedules import stored_schedules, write_schedules
from leadscore_assets.jobs import score_open_leads, train_orgs
from leadscore_assets.lanes.scoring import shard_config
from leadscore_assets.lanes.training import training_runs
from leadscore_assets.last_materialization import of_last_materialization
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.resources import Crm
from leadscore_assets.retention.absent_leads import erase_absent_leads
from leadscore_assets.schedule_ticks import schedules_now
from leadscore_assets.scoring.outdated import outdated_orgs
from leadscore_assets.scoring.stored_scores import last_scorings
from leadscore_assets.served_models import changes, report_of
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.work_list import waiting

INTERVAL_SECONDS = 60
# every id that we hold is compared with the CRM's, which takes 2 s for 100,000 leads; the delay is a matter of days
ERASURE_INTERVAL_SECONDS = 3_600
# a rollback shows in Dagster within half a minute; for 1,000 orgs a tick without news takes 0.1 s of CPU
REPORT_INTERVAL_SECONDS = 30
# the daemon stores one event after the other, which takes 27 ms of CPU each
REPORTS_AT_A_TIME = 200
SCORING_INTERVAL_SECONDS = 30
TRAINING_INTERVAL_SECONDS = 30
AGES_INTERVAL_SECONDS = 3_600
# one request with tens of thousands of keys is more than SQLite takes in a statement
KEYS_AT_A_TIME = 1_000

Remembered = TypeVar("Remembered", bound=msgspec.Struct)
Requests = list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]


class Memory(msgspec.Struct, frozen=True):
    """What a sensor's cursor holds: since when orgs are absent, and whether the check said that too much is."""

    absent_since: dict[str, datetime] = {}
    is_too_many: bool = False


@dg.sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for each org that has leads. An org without leads loses its partition after"
    " ORG_ABSENT_DAYS; when more than MAX_ORGS_REMOVED_SHARE would lose theirs at once, none does, and the check"
    " orgs_have_leads fails. With POOLED_MODEL the pooled model has a partition, too.",
)
def follow_orgs(context: dg.SensorEvaluationContext, crm: dg.ResourceParam[Crm]) -> dg.SensorResult:
    """Add and remove partitions; leave out org ids that cannot be partition keys, and log how many there are."""
    memory, settings = _remembered(context.cursor, Memory), crm.settings
    partitions = set(context.instance.get_dynamic_partitions(orgs.name or ""))
    with_leads = set(valid_org_ids(crm.orgs(), context.log))
    absent = absent_orgs(partitions - {POOLED}, with_leads, memory.absent_since, now(), settings)
    _log(context, absent, memory)
    pool, wanted_pool = partitions & {POOLED}, {POOLED} if settings.pooled_model else set[str]()
    added = sorted((with_leads | wanted_pool) - partitions)
    requests = _requests(added, [*absent.removed, *(pool - wanted_pool)])
    return dg.SensorResult(
        skip_reason=None if requests else "; ".join(filter(None, (_known(len(with_leads | wanted_pool)), str(absent)))),
        dynamic_partitions_requests=requests,
        asset_events=[orgs_have_leads_event(absent)] if absent.is_too_many != memory.is_too_many else [],
        cursor=msgspec.json.encode(Memory(absent.kept, absent.is_too_many)).decode(),
    )


@dg.sensor(
    minimum_interval_seconds=ERASURE_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Erases the rows of leads and orgs from our tables when the CRM has not had them for ORG_ABSENT_DAYS."
    " When more than MAX_ORGS_REMOVED_SHARE of all leads would be erased at once, none is, and the check"
    " leads_are_in_crm fails.",
)
def erase_gone_leads(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SensorResult:
    """Erase what has been gone for long enough; the database remembers since when."""
    absent, erased = erase_absent_leads(settings, now())
    for table in erased:
        context.log.info("erased %s", table)
    memory = Memory(is_too_many=absent.is_too_many)
    return dg.SensorResult(
        skip_reason="; ".join([f"erased {table}" for table in erased] or [str(absent)]),
        asset_events=[leads_are_in_crm_event(absent)] if memory != _remembered(context.cursor, Memory) else [],
        cursor=msgspec.json.encode(memory).decode(),
    )


@dg.sensor(
    minimum_interval_seconds=REPORT_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows in active_model what was changed without a run of it: a rollback, a withdrawal, a restored"
    " registry, or another version of the pooled model. Each such org is materialized with who did it, when and why.",
)
def report_active_versions(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], registry: dg.ResourceParam[Registry]
) -> dg.SensorResult:
    """Compare the pointers with what active_model last showed, and report the differences."""
    partitions = context.instance.get_dynamic_partitions(orgs.name or "")
    changed = changes(settings, registry, context.instance, partitions, context.log)
    reported, later = changed[:REPORTS_AT_A_TIME], len(changed[REPORTS_AT_A_TIME:])
    for served in reported:
        context.log.info("%s: %s", served.org_id, served.in_words)
    said = f"reported {len(reported)} orgs" + (f"; {later} more follow" if later else "")
    return dg.SensorResult(
        skip_reason=said if reported else f"active_model shows what scores the leads of all {len(partitions)} orgs",
        asset_events=[report_of(settings, served) for served in reported],
    )


class KnownChanges(msgspec.Struct, frozen=True):
    """What the second sensor's cursor holds: the orgs that may have changed hands, and whether they are too many."""

    withdrawn: list[str] = []
    not_withdrawn: list[str] = []
    is_too_many: bool = False


@dg.sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Knows each org again by two of its leads. When both are gone and others are there, the org's id may"
    " have been given to another customer: its active version is withdrawn, its trainings are refused, and the check"
    " orgs_keep_their_leads says what to do. When more than MAX_ORGS_REMOVED_SHARE change at once, none is withdrawn.",
)
def follow_identities(
    context: dg.SensorEvaluationContext, crm: dg.ResourceParam[Crm], registry: dg.ResourceParam[Registry]
) -> dg.SensorResult:
    """Remember leads of every org, and withdraw the versions of orgs that are not known again."""
    with_leads = valid_org_ids(crm.orgs(), context.log)
    changed = assess(crm.settings, registry, follow(crm.settings, with_leads), len(with_leads))
    changed = withdraw_changed(crm.settings, registry, changed, context.log)
    found = KnownChanges(changed.withdrawn, changed.not_withdrawn, changed.is_too_many)
    before = _remembered(context.cursor, KnownChanges)
    if found != before:
        context.log.warning("%s", changed)
    return dg.SensorResult(
        skip_reason=str(changed),
        asset_events=[orgs_keep_their_leads_event(changed)] if found != before else [],
        cursor=msgspec.json.encode(found).decode(),
    )


@dg.sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps leadscore.org_health true, one row per org: state, model, last verdict, readiness, last scoring."
    " Pages and API read it. Only rows that changed are written.",
)
def refresh_org_health(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], registry: dg.ResourceParam[Registry]
) -> dg.SkipReason:
    """Compare the table with the registry and the database, for all orgs that have partitions."""
    partitions = context.instance.get_dynamic_partitions(orgs.name or "")
    return dg.SkipReason(str(refresh(settings, registry, partitions, deadlines(settings, now()), context.log)))


@dg.sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps leadscore.schedule_health true: when each schedule last ran, and when it is to run next. Metrics"
    " and alerts read it, so a schedule that is off, or fails, is noticed.",
)
def watch_schedules(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SkipReason:
    """Compare the table with what Dagster remembers of the schedules."""
    schedules = context.repository_def.schedule_defs if context.repository_def else []
    with connect(settings) as connection:
        known = stored_schedules(connection)
        changed = write_schedules(connection, known, schedules_now(context.instance, schedules, known, now()))
    return dg.SkipReason(f"{changed} of {len(schedules)} schedules changed")


def now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def _log(context: dg.SensorEvaluationContext, absent: AbsentOrgs, memory: Memory) -> None:
    if absent.removed:
        context.log.info(
            "the partitions of orgs without leads go: %s",
            ", ".join(f"{org_id} (since {absent.since[org_id]:%Y-%m-%d %H:%M} UTC)" for org_id in absent.removed),
        )
    if absent.since.keys() != memory.absent_since.keys() and absent.kept:
        context.log.warning("%s", absent)


def _known(count: int) -> str:
    return f"the partitions already match the CRM's {count} orgs"


def _requests(added: Sequence[str], removed: Sequence[str]) -> Requests:
    return [
        *(orgs.build_add_request(part) for part in _parts(added)),
        *(orgs.build_delete_request(part) for part in _parts(removed)),
    ]


def _parts(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + KEYS_AT_A_TIME] for start in range(0, len(keys), KEYS_AT_A_TIME)]


@dg.sensor(
    # by its name: with the job itself, Dagster makes a second sensor, and warns of a parameter that it passes on
    job_name=score_open_leads.name,
    minimum_interval_seconds=SCORING_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Scores the open leads of each org that another model version serves than the one that scored them,"
    " and of each org whose rule for grades was set: after an activation, a rollback, or a restored registry.",
)
def score_changed_orgs(
    context: dg.SensorEvaluationContext, crm: dg.ResourceParam[Crm], registry: dg.ResourceParam[Registry]
) -> dg.SensorResult:
    """Request one run for all orgs whose scores are not by the model that serves them now, once the last has ended."""
    if context.instance.get_runs(_OWN_RUNS_UNDER_WAY, limit=1):
        return dg.SensorResult(skip_reason="the run that this sensor last asked for has not ended")
    changed = outdated_orgs(crm.settings, registry, valid_org_ids(crm.orgs(), context.log), context.log)
    if not changed:
        return dg.SensorResult(skip_reason="every org's leads were scored by the model that serves the org")
    org_ids = sorted(changed)
    # a run that failed is not repeated before the schedule does it, or before something changes again
    key = hashlib.sha256(msgspec.json.encode(sorted(changed.items()))).hexdigest()
    return dg.SensorResult(run_requests=[dg.RunRequest(key, run_config=shard_config(org_ids=org_ids))])


_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_NOT_ENDED = [status for status in dg.DagsterRunStatus if status not in _ENDED]
# Dagster documents the tag, and exports no name for it
_OWN_RUNS_UNDER_WAY = dg.RunsFilter(
    job_name=score_open_leads.name,
    tags={"dagster/sensor_name": "score_changed_orgs"},
    statuses=_NOT_ENDED,
)
_TRAININGS_UNDER_WAY = dg.RunsFilter(job_name=train_orgs.name, statuses=_NOT_ENDED)


@dg.sensor(
    job_name=train_orgs.name,
    minimum_interval_seconds=TRAINING_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts runs of train_orgs, up to TRAINING_SHARDS, while orgs are on the work list: those of a run that"
    " is gone, too.",
)
def resume_trainings(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SensorResult:
    """Request as many runs as are missing to work on the list."""
    with connect(settings, read_only=True) as connection:
        orgs_left = waiting(connection)
    if not orgs_left:
        return dg.SensorResult(skip_reason="no org is on the work list of trainings")
    under_way = len(context.instance.get_runs(_TRAININGS_UNDER_WAY, limit=settings.training_shards))
    missing = min(settings.training_shards, orgs_left) - under_way
    if missing <= 0:
        return dg.SensorResult(skip_reason=f"{under_way} runs work on the {orgs_left:,} orgs of the work list")
    context.log.info("%s orgs are on the work list, and %s runs work on them", f"{orgs_left:,}", under_way)
    return dg.SensorResult(run_requests=training_runs(missing, "sensor resume_trainings"))


class KnownAges(msgspec.Struct, frozen=True):
    """What the sensor's cursor holds: the orgs whose scores were too old at the last tick."""

    stale: list[str] = []


@dg.sensor(
    minimum_interval_seconds=AGES_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the age of every org's scores with SCORE_SCHEDULE; the check scores_are_fresh warns of those"
    " that are too old.",
)
def watch_scores(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SensorResult:
    """Report the orgs whose scores became too old, and those whose scores no longer are."""
    partitions = set(context.instance.get_dynamic_partitions(orgs.name or "")) - {POOLED}
    with connect(settings, read_only=True) as connection:
        scorings = last_scorings(connection)
    stale = score_ages.stale_scores(settings, scorings, partitions, now())
    before = set(_remembered(context.cursor, KnownAges).stale)
    events = [score_ages.stale_scores_event(org_id, stale[org_id]) for org_id in sorted(stale.keys() - before)]
    events += [score_ages.fresh_scores_event(org_id) for org_id in sorted((before - stale.keys()) & partitions)]
    return dg.SensorResult(
        skip_reason=f"the scores of {len(stale)} of {len(partitions)} orgs are older than SCORE_SCHEDULE asks for",
        asset_events=[of_last_materialization(context.instance, event) for event in events],
        cursor=msgspec.json.encode(KnownAges(sorted(stale))).decode(),
    )


@dg.run_status_sensor(
    name="log_failed_runs",
    run_status=dg.DagsterRunStatus.FAILURE,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs and counts each run that failed, and records the training of one that died without saying how it"
    " ended. A training whose data was refused has not failed.",
)
def log_failed_runs(context: dg.RunStatusSensorContext, settings: dg.ResourceParam[Settings]) -> None:
    """Tell of a run that failed."""
    _tell_of_failure(context, settings)


@dg.run_status_sensor(
    name="log_canceled_trainings",
    run_status=dg.DagsterRunStatus.CANCELED,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs and counts each training that was canceled, and records that it failed: its run says nothing.",
)
def log_canceled_trainings(context: dg.RunStatusSensorContext, settings: dg.ResourceParam[Settings]) -> None:
    """Tell of a training that was canceled, whether a run of the job or of assets that were chosen in Dagster's UI."""
    if trains_an_org(context.instance, context.dagster_run):
        _tell_of_failure(context, settings)


def _tell_of_failure(context: dg.RunStatusSensorContext, settings: Settings) -> None:
    with connect(settings) as connection:
        message = context.dagster_event.message or "no reason is known"
        line = tell_of_failure(connection, context.instance, context.dagster_run, message)
    if line:
        context.log.error(line)


def _remembered(cursor: str | None, kind: type[Remembered]) -> Remembered:
    """Return what the last tick remembered, the kind's defaults when it was of another release."""
    try:
        return msgspec.json.decode(cursor or "{}", type=kind)
    except msgspec.MsgspecError:
        return kind()
