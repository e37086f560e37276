"""Remembers the scores that were answered for leads that the request named, in the table leadscore.answered_score.

Of each lead, the table keeps the first score by each version in each span of ages from one landmark to the next.

A request only puts a note into a queue in memory. A thread writes the notes once a second, or sooner when many have
come. What cannot be written, because the database is away, slow or not set up, is dropped and counted: no answer waits
for the database, and none fails with it.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Literal, NamedTuple

from leadscore.errors import DatabaseUnavailable
from leadscore.pooling import POOLED
from leadscore.registry.version import LoadedVersion
from leadscore.settings import Settings
from serving.dependencies.answered_score_table import AnsweredScore, AnsweredScoreTable, Values
from serving.dependencies.call_list import is_lead_id
from serving.dependencies.probes import DatabaseState, Probe

# of each process; the last request that finds room may bring more
MAX_WAITING_SCORES = 5_000
SCORES_AT_A_TIME = 500
WAIT_SECONDS = 1.0
# after a failure; what comes meanwhile waits
RETRY_SECONDS = 5.0
STOP_SECONDS = 1.0
# of each org and process
FIRST_OF_THE_DAY = 20

TOO_MANY = "more scores are answered than the CRM's database takes"
_DAY_SECONDS = 86_400

Outcome = Literal["written", "dropped"]

_log = logging.getLogger(__name__)


class _Note(NamedTuple):
    """What one request was answered: a score for each lead, of which `named` have an id."""

    at_seconds: float
    org_id: str
    names: tuple[str, ...]
    age_place: int
    model_version: str
    model_scope: str
    lead_ids: Sequence[int | str | None]
    probabilities: Sequence[float]
    values: Iterable[Values]
    has_own_features: bool
    named: int


class AnsweredScores:
    """The answered scores of one process, until its thread has written them.

    `count` is called with an outcome and the number of scores that had it. With ANSWERED_SCORES=off nothing is
    remembered, and no thread is started.
    """

    def __init__(self, settings: Settings, probe: Probe[DatabaseState], count: Callable[[Outcome, int], None]) -> None:
        self._is_on, self._sample = settings.answered_scores == "ON", Sample(settings.answered_features_share)
        self._landmark_days = settings.landmark_days
        self._table, self._count = AnsweredScoreTable(settings, probe), count
        self._lock = threading.Lock()
        self._notes: deque[_Note] = deque()
        self._waiting = self._overflown = 0
        self._thread: threading.Thread | None = None
        self._has_enough, self._is_stopping = threading.Event(), threading.Event()
        self._is_dropping = False

    def remember(
        self,
        org_id: str,
        version: LoadedVersion,
        lead_ids: Sequence[int | str | None],
        probabilities: Sequence[float],
        values: Iterable[Values],
        *,
        has_own_features: bool,
    ) -> None:
        """Note what `version` said of some leads; takes some microseconds, and never waits or raises.

        `values` has the features of each lead in the order of the version's contract, None where unknown, and is read
        later. `has_own_features` when the request brought them: of such leads a sample is stored with its features.
        Leads without an id, or of unknown age, are not remembered; the pooled model has no leads of its own.
        """
        named, manifest = len(lead_ids) - lead_ids.count(None), version.manifest
        age_place = manifest.contract.age_place
        if not (named and self._is_on) or age_place is None or org_id == POOLED:
            return
        note = _Note(
            *(time.time(), org_id, manifest.contract.names, age_place, manifest.version, version.scope),
            *(lead_ids, probabilities, values, has_own_features, named),
        )
        with self._lock:
            self._queue(note)

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Let the thread write what waits, for at most so many seconds, and drop the rest."""
        with self._lock:
            self._is_stopping.set()
            self._has_enough.set()
        if self._thread is not None:
            self._thread.join(seconds)
            with self._lock:
                self._count("dropped", self._waiting + self._overflown)
                self._notes.clear()
                self._waiting = self._overflown = 0

    def _queue(self, note: _Note) -> None:
        if self._waiting >= MAX_WAITING_SCORES:
            self._overflown += note.named
            return
        self._notes.append(note)
        self._waiting += note.named
        if self._thread is None:
            self._start()
        if self._waiting >= SCORES_AT_A_TIME:
            self._has_enough.set()

    def _start(self) -> None:
        """Start the thread; not before there is a note, because a server may fork after it has made the app."""
        thread = threading.Thread(target=self._write_for_ever, name="answered-scores", daemon=True)
        with suppress(RuntimeError):  # while the process can have no further thread, notes wait
            thread.start()
            self._thread = thread

    def _write_for_ever(self) -> None:
        """Write until the process stops; then until all is written, or something cannot be."""
        while True:
            self._has_enough.wait(WAIT_SECONDS)
            is_stopping = self._is_stopping.is_set()
            failure = self._write_some()
            if is_stopping and (failure is not None or not self._waiting):
                self._table.close()
                return
            if failure is not None:
                self._is_stopping.wait(RETRY_SECONDS)

    def _write_some(self) -> str | None:
        """Write the oldest notes, count them, and return why that failed, or None."""
        notes, overflown = self._taken()
        rows, failure, dropped = _rows_of(notes, self._landmark_days, self._sample), None, overflown
        while part := list(islice(rows, SCORES_AT_A_TIME)):
            failure = failure or self._failure_of(part)
            if failure is None:
                self._count("written", len(part))
            else:
                dropped += len(part)
        self._count("dropped", dropped)
        self._say(failure or (TOO_MANY if overflown else None), dropped, has_written=bool(notes))
        return failure

    def _failure_of(self, rows: list[AnsweredScore]) -> str | None:
        """Insert the rows, and return why that failed, or None."""
        try:
            self._table.insert(rows)
        except DatabaseUnavailable as error:
            return error.message
        except Exception as error:
            # the thread goes on whatever happens; the error's own words may have a lead's id
            return f"defect: {type(error).__name__}"
        return None

    def _taken(self) -> tuple[list[_Note], int]:
        """Return the oldest notes, which have about SCORES_AT_A_TIME scores, and how many scores found no room."""
        notes, scores = list[_Note](), 0
        with self._lock:
            while self._notes and scores < SCORES_AT_A_TIME:
                notes.append(self._notes.popleft())
                scores += notes[-1].named
            self._waiting -= scores
            if self._waiting < SCORES_AT_A_TIME and not self._is_stopping.is_set():
                self._has_enough.clear()
            overflown, self._overflown = self._overflown, 0
        return notes, overflown

    def _say(self, failure: str | None, dropped: int, *, has_written: bool) -> None:
        """Log when dropping begins, and when writing works again; nothing in between."""
        if failure is not None and not self._is_dropping:
            _log.warning("answered scores are dropped: %s", failure, extra={"scores": dropped})
            self._is_dropping = True
        elif self._is_dropping and failure is None and has_written and not self._waiting:
            _log.warning("answered scores are remembered again")
            self._is_dropping = False


def _rows_of(notes: Iterable[_Note], landmark_days: Sequence[int], sample: Sample) -> Iterator[AnsweredScore]:
    """Yield a row for each lead that can be remembered."""
    for note in notes:
        for lead_id, probability, values in zip(note.lead_ids, note.probabilities, note.values, strict=True):
            age_days = values[note.age_place]
            if lead_id is None or age_days is None or age_days < landmark_days[0] or not is_lead_id(str(lead_id)):
                continue
            landmark = landmark_days[bisect_right(landmark_days, age_days) - 1]
            is_sampled = note.has_own_features and sample.takes(note.org_id, str(lead_id), note.at_seconds)
            yield _row(note, str(lead_id), landmark, probability, values, is_sampled=is_sampled)


def _row(
    note: _Note, lead_id: str, landmark_days: int, probability: float, values: Values, *, is_sampled: bool
) -> AnsweredScore:
    return AnsweredScore(
        org_id=note.org_id,
        lead_id=lead_id,
        landmark_days=landmark_days,
        answered_at=datetime.fromtimestamp(note.at_seconds, UTC),
        age_days=values[note.age_place],
        probability=probability,
        model_version=note.model_version,
        model_scope=note.model_scope,
        feature_names=note.names if is_sampled else None,
        features=values if is_sampled else None,
    )


class Sample:
    """Which leads are stored with their features: a share of all and, so that small orgs have some, the first of a day.

    A share of 0 takes none.
    """

    def __init__(self, share: float) -> None:
        self._share, self._day = share, 0.0
        self._taken: Counter[str] = Counter()

    def takes(self, org_id: str, lead_id: str, at_seconds: float) -> bool:
        """Return whether the lead is taken; FIRST_OF_THE_DAY (UTC) leads of each org are, whatever the share."""
        if not self._share:
            return False
        day = at_seconds // _DAY_SECONDS
        if day != self._day:
            self._day, self._taken = day, Counter()
        self._taken[org_id] += 1
        return self._taken[org_id] <= FIRST_OF_THE_DAY or self._is_in_share(f"{org_id}\0{lead_id}\0{day:.0f}")

    def _is_in_share(self, key: str) -> bool:
        return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) < self._share * 2**64
