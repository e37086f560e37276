"""How good each org's model is: `python -m benchmarks.models.quality FOLDER --as-of DATE`, FOLDER of CRM tables.

Loads the folder into a throw-away PostgreSQL, then extracts, trains and judges every org as the assets do, without
Dagster. The last row pools all orgs into one, for comparison with other tools; it is never activated anywhere.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks.throwaway_crm import features_of, loaded_crm
from leadscore.comparison import Estimate
from leadscore.gate import Decision, Judgement, policy_from, refuse_unfittable
from leadscore.left_out import causes_of
from leadscore.records import RecordCounts
from leadscore.registry.store import Registry
from leadscore.settings import Settings, parse_time
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import orgs
from leadscore_assets.training.judge import judge
from leadscore_assets.training.train import train, training_side
from standalone.crm import TABLES

POOLED = "pooled"


def pool_orgs(settings: Settings) -> None:
    """Make all leads one org's, in this throw-away database."""
    with connect(settings) as connection:
        for table in TABLES:
            connection.execute(sql.SQL("UPDATE {} SET org_id = %s").format(sql.Identifier(table)), [POOLED])


def judged(settings: Settings, org_id: str, features: FeatureRows) -> Judgement | str:
    """Return how the org's candidate was judged, or the refusal in words."""
    counts, policy = features.counts, policy_from(settings)
    refusal = refuse_unfittable(
        counts.records, counts.converted_records, *training_side(features), policy, causes=causes_of(counts)
    )
    if refusal:
        return in_words(refusal)
    registry = Registry(settings.model_path)
    manifest = train(registry, org_id, features)
    return judge(registry, org_id, manifest.version, features, policy).judgement


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of CSV files, one per CRM table")
    parser.add_argument("--as-of", type=parse_time, required=True, help="train as of this date or time")
    arguments = parser.parse_args()
    console = Console()
    table = Table("org", "records", "rows", "left out", "base rate", "ROC-AUC", "Brier", "ECE", "s")
    decisions = Table("org", "decision")
    ages = Table("org", "age in days", "rows", "conversion rate", "ROC-AUC", "Brier")
    with loaded_crm(arguments.folder) as settings:
        with connect(settings) as connection:
            org_ids = orgs(connection)
        for org_id in [*org_ids, POOLED]:
            if org_id == POOLED:
                pool_orgs(settings)
            start = time.perf_counter()
            features = features_of(settings, org_id, arguments.as_of)
            judgement = judged(settings, org_id, features)
            add_rows(table, ages, org_id, features.counts, judgement=judgement, seconds=time.perf_counter() - start)
            decisions.add_row(org_id, judgement if isinstance(judgement, str) else in_words(judgement.decision))
    console.print(table, decisions, ages)


def in_words(decision: Decision) -> str:
    """Return the verdict and its reasons."""
    return f"{decision.verdict}: {decision.text}"


def interval(estimate: Estimate) -> str:
    """Return the figure with its 95 % interval over resampled leads."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def add_rows(
    table: Table, ages: Table, org_id: str, counts: RecordCounts, *, judgement: Judgement | str, seconds: float
) -> None:
    """Add an org's line to `table`, and its quality by age to `ages`."""
    left_out = ", ".join(f"{reason} {count}" for reason, count in {**counts.excluded, **counts.set_aside}.items())
    base_rate = "" if counts.base_rate is None else f"{counts.base_rate:.3f}"
    known = [org_id, f"{counts.records:,}", f"{counts.rows:,}", left_out, base_rate]
    if isinstance(judgement, str):
        table.add_row(*known, "", "", "", f"{seconds:.1f}")
        return
    comparison, calibration = judgement.comparison, judgement.report.metrics.expected_calibration_error
    figures = [interval(d.candidate) for d in (comparison.roc_auc, comparison.brier_score)] if comparison else ["", ""]
    table.add_row(*known, *figures, f"{calibration:.3f}", f"{seconds:.1f}")
    for age in judgement.report.by_age:
        auc = "" if age.roc_auc is None else f"{age.roc_auc:.3f}"
        rate, brier = f"{age.conversion_rate:.3f}", f"{age.brier_score:.3f}"
        ages.add_row(org_id, str(age.landmark_days), f"{age.rows:,}", rate, auc, brier)


if __name__ == "__main__":
    main()
