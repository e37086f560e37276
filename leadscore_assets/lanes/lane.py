"""What all lanes share: a run takes the orgs of its shard one after the other, and records each in Dagster.

A run per org would cost seconds for each. An org that fails harms no other; the run fails in the end, and names it.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import dagster as dg
from pydantic import Field

from leadscore.errors import DatabaseUnavailable, InvalidInput
from leadscore_assets.failures import in_words
from leadscore_assets.lanes.events import Event, log_events
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.resources import Crm
from leadscore_assets.scoring.stored_scores import last_scorings, scored_orgs
from leadscore_assets.source.database import Connection

PROGRESS_SECONDS = 10.0
SHOWN_FAILURES = 5


class ShardConfig(dg.Config):
    """Configuration of one run: which orgs it takes."""

    shard: int = Field(default=0, ge=0, description="Number of this shard, from 0.")
    shards: int = Field(default=1, ge=1, description="Number of shards that divide the orgs among them.")
    org_ids: list[str] = Field(default=[], description="The orgs to take; all orgs when it is empty.")


class Done(NamedTuple):
    """What was done for an org: the events that Dagster gets, and counts by their names in the plural.

    `failure` says what could not be done, though the rest was; empty when nothing failed.
    """

    events: Sequence[Event]
    counts: Mapping[str, int]
    failure: str = ""


Work = Callable[[str], Done]


def in_parts(*parts: Callable[[], Done]) -> Done:
    """Do each part of an org's work, whatever becomes of the others, and return all that was done."""
    events, counts, failures = list[Event](), Counter[str](), list[str]()
    for part in parts:
        try:
            done = part()
        except Exception as error:
            failures.append(in_words(error))
            continue
        events += done.events
        counts.update(done.counts)
    return Done(events, counts, "; ".join(failures))


def orgs_of(context: dg.OpExecutionContext, connection: Connection, crm: Crm, config: ShardConfig) -> list[str]:
    """Return the orgs of the shard, which have a partition then.

    They are those that the configuration names or, without any, all orgs. Raises InvalidInput for one that nobody
    knows.
    """
    mine = _all_orgs(connection, crm, config.org_ids, context.log)[config.shard :: config.shards]
    # the sensor may not have seen an org yet; adding a key that is there changes nothing
    context.instance.add_dynamic_partitions(orgs.name or "", mine)
    return mine


def _all_orgs(connection: Connection, crm: Crm, named: Sequence[str], log: logging.Logger) -> list[str]:
    in_crm = set(valid_org_ids(crm.orgs(), log))
    if not named:
        return sorted(in_crm | set(scored_orgs(connection)))
    unknown = sorted(set(named) - in_crm - last_scorings(connection).keys())
    if unknown:
        raise InvalidInput(
            f"{len(unknown)} of the named orgs have no lead in the CRM, and were never scored: {some(unknown)}."
            " Correct org_ids; without it, all orgs are taken"
        )
    return sorted(set(named))


class Lane:
    """Does the same work for one org after the other. `task` says what for in a message, such as "scored"."""

    def __init__(self, context: dg.OpExecutionContext, connection: Connection, task: str) -> None:
        self._context, self._connection, self._task = context, connection, task
        self._started = self._told = time.monotonic()
        self._orgs = 0
        self._counts: Counter[str] = Counter()
        self._failed: dict[str, str] = {}

    def take(self, org_ids: Sequence[str], work: Work) -> None:
        """Do the work for each org."""
        for org_id in org_ids:
            self._take(org_id, work)
            self._tell(of=len(org_ids))

    def end(self) -> None:
        """Record the totals. Raises dg.Failure when an org failed."""
        totals = {name.replace(" ", "_"): count for name, count in self._counts.items()}
        self._context.add_output_metadata({"orgs": self._orgs, "failed_orgs": len(self._failed), **totals})
        if self._failed:
            failures = [f"{org_id} ({why})" for org_id, why in self._failed.items()]
            raise dg.Failure(
                f"{len(failures)} of {self._orgs} orgs could not be {self._task}: {some(failures)}."
                " What they had stays; the log says why",
                allow_retries=False,
            )

    def _take(self, org_id: str, work: Work) -> None:
        self._orgs += 1
        try:
            done = work(org_id)
        except Exception as error:
            done = Done([], {}, in_words(error))
        log_events(self._context, done.events)
        self._counts.update(done.counts)
        if done.failure:
            self._failed[org_id] = done.failure
            self._context.log.warning("org %s was not %s: %s", org_id, self._task, done.failure)
            if self._connection.closed:
                raise DatabaseUnavailable(f"{done.failure} The orgs after {org_id} were not taken; run it again")

    def _tell(self, *, of: int) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS and self._orgs < of:
            return
        self._told = now
        seconds_left = (now - self._started) / self._orgs * (of - self._orgs)
        counts = "".join(f", {count:,} {name}" for name, count in self._counts.items())
        self._context.log.info(
            "%s of %s orgs%s, %s failed; about %.0f s left",
            f"{self._orgs:,}",
            f"{of:,}",
            counts,
            len(self._failed),
            seconds_left,
        )


def some(items: Sequence[str]) -> str:
    """Return the first of the items in a line, and whether there are more."""
    return "; ".join(items[:SHOWN_FAILURES]) + ("; …" if len(items) > SHOWN_FAILURES else "")
