"""`python -m leadscore_assets.commands.status`: the whole system in one screen, and what to do about each problem.

It reads the database and the registry, and changes nothing. It exits with 0, whatever it finds, and with 1 when it
could not look.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from leadscore import VERSION
from leadscore.errors import LeadscoreError
from leadscore.org_warnings import OrgWarning
from leadscore.registry.org_state import OrgState
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets.deadlines import GRACE
from leadscore_assets.health.overview import Overview, overview
from leadscore_assets.health.schedules import Schedule
from leadscore_assets.source.control_plane import Holder, living_holder
from leadscore_assets.source.database import connect

WIDTH = 80
LABEL_WIDTH = 15
MOST_NAMED = 3
# the sensor refreshes it once a minute
HEALTH_IS_OLD = timedelta(minutes=15)
IN_WORDS: dict[OrgWarning, str] = {
    "not_ready": "not ready",
    "training_overdue": "not trained",
    "training_failed": "failed",
    "refused": "refused",
    "held": "held",
    "scores_overdue": "not scored",
}
DO_ABOUT_STATES: dict[OrgState, str] = {
    "damaged": "Their leads are not scored: restore the files that the page of the org names from a backup, or train"
    " the org again",
    "withdrawn": "Say whose the id is: python -m leadscore_assets.commands.accept_org --help",
}
DO_ABOUT_WARNINGS: dict[OrgWarning, str] = {
    "training_overdue": "Two scheduled trainings passed them by: the log of the schedule's last tick in Dagster says"
    " why; then train them by hand",
    "scores_overdue": "Their leads were not scored when they were due: look at the last run of score_open_leads in"
    " Dagster, then materialize lead_scores",
}
DO_ABOUT_ALARMS = (
    'What was promised does not come true: the page of the org says what differs, under "Did it come true?"'
)
NOT_RUNNING = (
    "Nothing is trained or scored on time: start `make run`, or `docker compose up --detach`, with the same settings"
)
KILO = 1_000


def main(settings: Settings | None = None) -> int:
    """Print how the system of `settings`, the environment's unless given, stands; return the exit code."""
    try:
        settings = settings or read_settings()
        registry = Registry(settings.model_path)
        with connect(settings, read_only=True) as connection:
            found, holder = overview(connection), living_holder(connection)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    place = f"{settings.db_name} at {settings.db_host}:{settings.db_port}"
    print(f"Leadscore {VERSION} on {place}, {_minute(found.moments.asked_at)}\n")
    for line in [*_parts(found, holder, registry), "", *_to_do(found, holder)]:
        print(line)
    return 0


def _parts(found: Overview, holder: Holder | None, registry: Registry) -> Iterator[str]:
    yield from _row("Control plane", _holder_in_words(holder))
    yield from _row("Registry", f"{registry.place}: {_disk(Path(registry.place))}")
    yield from _orgs(found)
    yield from _trainings(found)
    yield from _row("Scorings", _scorings(found))
    yield from _schedules(found.schedules)


def _holder_in_words(holder: Holder | None) -> str:
    if holder is None:
        return "none is running"
    return f"process {holder.process_id} on {holder.host}, since {_minute(holder.started_at)}"


def _orgs(found: Overview) -> Iterator[str]:
    states = Counter(org.state for org in found.orgs)
    counted = ", ".join(f"{states[state]:,} {state.replace('_', ' ')}" for state in get_args(OrgState) if states[state])
    seen = _ago(found.moments.refreshed_at, found.moments.asked_at)
    yield from _row("Orgs", f"{len(found.orgs):,}{': ' if counted else ''}{counted} (as of {seen})")
    for warning, words in IN_WORDS.items():
        if named := [org.org_id for org in found.orgs if warning in org.warnings]:
            yield from _row(f"  {words}", _named(named))
    if alarms := _with_alarm(found):
        yield from _row("  alarm", _named(alarms))


def _trainings(found: Overview) -> Iterator[str]:
    yield from _row("Trainings", _outcomes(found.totals) + ", in all")
    if batch := found.batch:
        ended = {"activated": batch.activated, "held": batch.held, "insufficient_data": batch.insufficient_data}
        done = f"{batch.orgs - batch.waiting:,} of {batch.orgs:,} orgs"
        asked = f"asked for by {batch.asked_by}, {_ago(batch.asked_at, found.moments.asked_at)}"
        yield from _row("  last batch", f"{done}: {_outcomes(ended | {'failed': batch.failed})}; {asked}")
    if last := found.last_training:
        ago = _ago(last.ended_at, found.moments.asked_at)
        yield from _row("  last one", f"{last.org_id}, {ago}: {last.status.replace('_', ' ')}")


def _outcomes(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in counts.items())


def _scorings(found: Overview) -> str:
    scored = [org for org in found.orgs if org.scored_as_of is not None]
    if not scored:
        return "no org's leads were scored yet"
    moments = sorted(org.scored_as_of for org in scored if org.scored_as_of)
    ages = [_ago(moment, found.moments.asked_at) for moment in (moments[-1], moments[0])]
    between = ages[0] if ages[0] == ages[1] else f"{ages[0]} to {ages[1]}"
    return f"{sum(org.open_leads or 0 for org in scored):,} open leads of {_orgs_in_words(len(scored))}, {between}"


def _schedules(schedules: Sequence[Schedule]) -> Iterator[str]:
    if schedules:
        yield f"{'Schedules':<28}{'last run':<26}next run"
    for schedule in schedules:
        ran = f"{_minute(schedule.last_tick_at)}{_tick_in_words(schedule)}"
        yield f"  {schedule.schedule:<26}{ran:<26}{_minute(schedule.next_run_at) if schedule.is_on else 'off'}"


def _tick_in_words(schedule: Schedule) -> str:
    return {"skipped": " skipped", "failure": " failed"}.get(schedule.last_status or "", "")


def _to_do(found: Overview, holder: Holder | None) -> Iterator[str]:
    problems = [*_of_the_system(found, holder), *_of_orgs(found)]
    if not problems:
        yield "Nothing needs attention."
        return
    yield "What to do"
    for problem in problems:
        yield from textwrap.wrap(f"- {problem}.", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _of_the_system(found: Overview, holder: Holder | None) -> Iterator[str]:
    now, refreshed_at = found.moments
    if holder is None:
        yield NOT_RUNNING
    elif refreshed_at is None or now - refreshed_at > HEALTH_IS_OLD:
        yield (
            f"How the orgs stand is as of {_ago(refreshed_at, now)}: see in Dagster whether the sensor"
            " refresh_org_health is turned on"
        )
    for schedule in found.schedules:
        if not schedule.is_on:
            yield f"{schedule.schedule} is turned off: turn it on in Dagster, under Automation"
        elif schedule.last_status == "failure":
            yield f"{schedule.schedule} failed ({schedule.error}): its last tick in Dagster says what to do"
        elif holder and now - schedule.next_run_at > GRACE:
            missing = f"{schedule.schedule} should have run {_ago(schedule.next_run_at, now)}"
            yield f"{missing}: see what Dagster's daemon logs"


def _of_orgs(found: Overview) -> Iterator[str]:
    for state, remedy in DO_ABOUT_STATES.items():
        if named := [org.org_id for org in found.orgs if org.state == state]:
            yield f"{_named(named)} {state}. {remedy}"
    for ended in found.failed[:MOST_NAMED]:
        ago = _ago(ended.ended_at, found.moments.asked_at)
        yield f"The training of {ended.org_id} failed {ago}: {ended.reasons.rstrip('.')}"
    if len(found.failed) > MOST_NAMED:
        yield f"{len(found.failed) - MOST_NAMED:,} more trainings failed: /?state=training_failed lists the orgs"
    for warning, remedy in DO_ABOUT_WARNINGS.items():
        if named := [org.org_id for org in found.orgs if warning in org.warnings]:
            yield f"{_named(named)}. {remedy}"
    if alarms := _with_alarm(found):
        yield f"{_named(alarms)}. {DO_ABOUT_ALARMS}"


def _with_alarm(found: Overview) -> list[str]:
    return [org.org_id for org in found.orgs if org.live_state == "alarm"]


def _named(org_ids: Sequence[str]) -> str:
    """Return how many orgs there are, and the names of the first."""
    more = f" and {len(org_ids) - MOST_NAMED:,} more" if len(org_ids) > MOST_NAMED else ""
    return f"{_orgs_in_words(len(org_ids))}: {', '.join(org_ids[:MOST_NAMED])}{more}"


def _orgs_in_words(count: int) -> str:
    return "1 org" if count == 1 else f"{count:,} orgs"


def _row(label: str, words: str) -> list[str]:
    """Return a label and words behind it, in lines that a terminal of WIDTH columns holds."""
    indent = " " * LABEL_WIDTH
    return textwrap.wrap(words, WIDTH, initial_indent=f"{label:<{LABEL_WIDTH}}", subsequent_indent=indent)


def _disk(root: Path) -> str:
    """Return what the registry's folder takes and leaves, where it is a folder of this machine."""
    if not root.is_dir():
        return "not a folder of this machine"
    taken = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
    return f"{_bytes_in_words(taken)}, {_bytes_in_words(shutil.disk_usage(root).free)} free"


def _bytes_in_words(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < KILO:
            return f"{count:.0f} {unit}"
        count /= KILO
    return f"{count:.1f} TB"


def _minute(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, such as "5 min ago"."""
    if moment is None:
        return "never"
    seconds = max(0.0, (now - moment).total_seconds())
    for least, unit, name in ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds // unit:,.0f} {name} ago"
    return f"{seconds:.0f} s ago"


if __name__ == "__main__":
    sys.exit(main())
