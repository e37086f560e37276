"""The records that a training reads from the CRM, and the window in which it reads them.

A *record* is one lead whose outcome is known. It gives one *row* for each landmark age at which it was still open.
Both structures are stored in every version's manifest, so that a training can be repeated.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from leadscore.errors import InvalidInput
from leadscore.settings import TIME, Settings, parse_time

HOLDOUT_SHARE = 0.2  # of all leads, chosen by the hash of their id
FIRST_AS_OF = datetime(1990, 1, 1, tzinfo=UTC)  # times of the CRM before it count as unknown


def crm_time(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """Return `moment` without a zone: in UTC, as our SQL takes it, or as the CRM writes it in `zone`."""
    return moment.astimezone(zone).replace(tzinfo=None)


class Window(msgspec.Struct, frozen=True):
    """Which leads are records, what converted means, and at which ages (days since creation) a row is taken.

    What has a default was a rule of its own in earlier releases, whose manifests lack it.
    """

    as_of: datetime
    training_window_days: int
    conversion_window_days: int
    conversion_statuses: tuple[str, ...]
    landmark_days: tuple[int, ...]
    lost_statuses: tuple[str, ...] = Settings.lost_statuses
    conversion_is_final: bool = Settings.conversion_is_final
    crm_time_zone: str = Settings.crm_time_zone
    open_statuses: tuple[str, ...] = ()

    def share_seen_in(self, other: Window) -> float:
        """Return which share of this window's time is no newer than `other`: 1 when that ends no earlier.

        Where the windows begin does not count: a window that only goes further back has nothing newer in it.
        """
        newer_days = max(0.0, (self.as_of - other.as_of) / timedelta(days=1))
        return max(0.0, 1 - newer_days / self.training_window_days)

    def asks_as(self, other: Window) -> bool:
        """Return whether both ask for the same rows and outcomes, but for the time at which they end."""
        return msgspec.structs.replace(other, as_of=self.as_of) == self


def outcome_parameters(window: Window) -> dict[str, Any]:
    """Return the parameters of `leadscore.lead_outcomes` that a window gives, by name and in their order."""
    return {
        "as_of": crm_time(window.as_of),
        "training_window_days": window.training_window_days,
        "conversion_window_days": window.conversion_window_days,
        "conversion_statuses": list(window.conversion_statuses),
        "lost_statuses": list(window.lost_statuses),
        "conversion_is_final": window.conversion_is_final,
        "landmark_days": list(window.landmark_days),
        "crm_time_zone": window.crm_time_zone,
    }


class RecordCounts(msgspec.Struct, frozen=True):
    """How many records and rows there are, and how many leads or rows were left out, by reason.

    `excluded` counts leads without a usable outcome, `set_aside` rows that break the feature contract, and
    `unreadable_orgs`, of the pooled model alone, the orgs whose records could not be read.
    `unknown_statuses` counts the moves to statuses that no setting names, which leave a lead open.
    `sql_sha256` names the SQL that read them, `fingerprint` the rows themselves. A row may be set aside for several
    reasons: `set_aside_rows` counts such rows once, and `lost_records` the records of which no row is left. Both are 0
    in what earlier releases stored.
    """

    records: int
    converted_records: int
    rows: int
    excluded: dict[str, int]
    sql_sha256: str
    set_aside: dict[str, int] = {}
    fingerprint: str = ""
    unreadable_orgs: int = 0
    unknown_statuses: dict[str, int] = {}
    set_aside_rows: int = 0
    lost_records: int = 0

    @property
    def read_rows(self) -> int:
        """The number of rows before any was set aside; at least that, where an earlier release counted reasons only."""
        return self.rows + max([self.set_aside_rows, *self.set_aside.values()])

    @property
    def read_records(self) -> int:
        """The number of records before any row was set aside."""
        return self.records + self.lost_records

    @property
    def base_rate(self) -> float | None:
        """The share of records that converted; None when there are none."""
        return self.converted_records / self.records if self.records else None


def parse_as_of(text: str) -> datetime:
    """Return the moment that the `as_of` of one training names. Raises InvalidInput, whose text has only the rule."""
    try:
        moment = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"as_of must be {TIME.says}") from error
    if not FIRST_AS_OF <= moment <= datetime.now(UTC):
        raise InvalidInput("as_of must be a past time, since 1990; give one, or leave it out for the present")
    return moment


def window_from(settings: Settings, as_of: datetime | None = None, training_window_days: int | None = None) -> Window:
    """Return the window of `settings`, with what a single run asks for put in its place.

    Raises InvalidInput when `as_of` is still to come: leads that are open now would count as lost.
    """
    now = datetime.now(UTC)
    moment = as_of or settings.as_of or now
    if moment > now:
        raise InvalidInput(f"as_of is {moment.isoformat()}, which is in the future; give a past time, or leave it out")
    return Window(
        as_of=moment,
        training_window_days=training_window_days or settings.training_window_days,
        conversion_window_days=settings.conversion_window_days,
        conversion_statuses=settings.conversion_statuses,
        landmark_days=settings.landmark_days,
        lost_statuses=settings.lost_statuses,
        conversion_is_final=settings.conversion_is_final,
        crm_time_zone=settings.crm_time_zone,
        open_statuses=settings.open_statuses,
    )
