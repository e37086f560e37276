"""The records' SQL against its rules in plain Python: `python -m benchmarks.models.records_fuzz [LEADS]`.

Each round makes a random CRM and random settings, and compares every row, every count of excluded leads, and every
record that the readiness and the schedule count.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from datetime import UTC, datetime

import pandas as pd

from benchmarks.models.harness.plain_records import PlainRules
from benchmarks.models.harness.random_crm import create_tables_for_any_status, load, random_crm, random_window
from leadscore.records import Window, outcome_parameters
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.extraction import RECORDS_SQL, RecordsReader
from leadscore_assets.source.outcomes import LEAD_OUTCOMES, create_functions
from standalone.throwaway import new_database, throwaway_server

LEADS = 10_000
LEADS_PER_ROUND = (5, 30, 250)  # the scores of an org with few leads have corners of their own
ORG = "north"


def main(leads: int = LEADS) -> int:
    """Compare until so many leads were made; return 1 when anything differs."""
    differing = done = rows = 0
    fates: Counter[str] = Counter()
    with throwaway_server() as server, connect(new_database(server, "fuzz")) as connection:
        create_functions(connection)
        create_tables_for_any_status(connection)
        while done < leads:
            chance = random.Random(done)
            leads_now = chance.choice(LEADS_PER_ROUND)
            crm, window = random_crm(chance, leads_now), random_window(chance)
            load(connection, crm)
            rules = PlainRules(crm.of_org(ORG), window, datetime.now(UTC))
            found = differences(connection, rules, window)
            fates.update(rules.excluded(), record=len({row["lead_id"] for row in rules.rows()}))
            for line in found:
                print(f"seed {done}: {line}")
            done, rows, differing = done + leads_now, rows + len(rules.rows()), differing + len(found)
    for fate, of_leads in sorted(fates.items()):
        print(f"{of_leads:>9,} {fate}")
    print(f"{done:,} random leads of two orgs, {rows:,} rows of one of them: {differing} differences")
    return int(differing > 0)


def differences(connection: Connection, rules: PlainRules, window: Window) -> list[str]:
    """Return in words where the SQL and the rules differ; the CRM's tables hold the leads of `rules`."""
    records = RecordsReader(connection, RECORDS_SQL, window).read(ORG)
    counts, found = records.counts, []
    expected = pd.DataFrame(rules.rows(), columns=records.rows.columns).astype(dict(records.rows.dtypes))
    try:
        pd.testing.assert_frame_equal(records.rows, expected, rtol=1e-12, atol=0)
    except AssertionError as error:
        found.append(f"the rows differ under {window}: {error}")
    if counts.excluded != dict(sorted(rules.excluded().items())):
        found.append(f"excluded {counts.excluded}, by the rules {rules.excluded()}")
    query = f"SELECT lead_id FROM {LEAD_OUTCOMES} WHERE org_id = '{ORG}' AND excluded_because IS NULL"
    counted = {str(lead_id) for (lead_id,) in connection.execute(query, outcome_parameters(window))}
    if counted != set(expected["lead_id"]):
        found.append(f"{len(counted)} records are counted, {expected['lead_id'].nunique()} are there by the rules")
    return found


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
