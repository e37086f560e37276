"""How long the extraction of one org takes as the org doubles: `python -m benchmarks.models.extraction [LEADS]`.

Each size is a simulated org whose leads are all in the training window, with 20 messages each, in a database of its
own on an embedded server; the best of three extractions counts. Growth compares with the size before: 2.0 is linear.
"""

from __future__ import annotations

import math
import resource
import sys
import time

from benchmarks.throwaway_crm import SIMULATED_AT
from leadscore.records import window_from
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.outcomes import create_functions
from standalone.orgs import Org
from standalone.postgres import EmbeddedPostgres
from standalone.simulator import into_database, simulate
from standalone.throwaway import new_database, throwaway_server

LARGEST_LEADS = 100_000
DOUBLINGS = 3
REPEATS = 3
MESSAGES_PER_LEAD = 20


def main(largest_leads: int = LARGEST_LEADS) -> None:
    """Print one line per size, the smallest first."""
    headings = ("leads", "messages", "records", "rows", "load s", "extract s", "growth", "peak MB")
    print("".join(f"{heading:>11}" for heading in headings))
    with throwaway_server() as server:
        seconds_before = None
        for doubling in range(DOUBLINGS, -1, -1):
            seconds_before = _measure(server, largest_leads >> doubling, seconds_before)


def _measure(server: EmbeddedPostgres, leads: int, seconds_before: float | None) -> float:
    """Load and extract one org; print the line; return the extraction's seconds."""
    settings = new_database(server, f"leads_{leads}")
    org = Org("large", leads=leads, messages_per_lead=MESSAGES_PER_LEAD, history_days=Settings().training_window_days)
    started = time.perf_counter()
    with connect(settings) as connection:
        create_functions(connection)
        loaded = into_database(connection, simulate([org], seed=1, now=SIMULATED_AT))
    load_seconds = time.perf_counter() - started
    window = window_from(settings, as_of=SIMULATED_AT)
    seconds = math.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        counts = extract(settings, org.org_id, window).counts
        seconds = min(seconds, time.perf_counter() - started)
    growth = f"{seconds / seconds_before:.2f}" if seconds_before else "-"
    peak_megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{loaded['dossier']:>11,}{loaded['message']:>11,}{counts.records:>11,}{counts.rows:>11,}"
        f"{load_seconds:>11.1f}{seconds:>11.2f}{growth:>11}{peak_megabytes:>11,}",
        flush=True,
    )
    return seconds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
