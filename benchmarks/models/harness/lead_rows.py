"""Leads to measure models on: of a folder of CRM tables, or of the simulated demo orgs; and folds of whole leads."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.throwaway_crm import SIMULATED_AT, features_of, loaded_crm, simulated_crm
from leadscore.arrays import Flags, Floats
from leadscore.evaluation import Holdout
from leadscore.features import CONTRACT
from leadscore.settings import Settings, parse_time
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import orgs
from standalone.orgs import DEMO_ORGS, Org

FOLDS = 5
ALL_ORGS = "all orgs"
SEED = 7
NARROWEST_COLUMNS = 190


@dataclass(frozen=True)
class LeadRows:
    """An org's rows, shape (rows, features), and each row's outcome, age in days, lead and fold, shape (rows,)."""

    org_id: str
    rows: Floats
    converted: Flags
    landmark_days: npt.NDArray[np.int64]
    lead_ids: npt.NDArray[np.str_]

    def where(self, mask: Flags) -> LeadRows:
        """Return the rows of `mask`, shape (rows,)."""
        kept = (self.rows[mask], self.converted[mask], self.landmark_days[mask], self.lead_ids[mask])
        return LeadRows(self.org_id, *kept)

    def of_leads(self, lead_ids: npt.NDArray[np.str_]) -> LeadRows:
        """Return the rows of these leads."""
        return self.where(np.isin(self.lead_ids, lead_ids))

    @property
    def records(self) -> int:
        """How many leads there are."""
        return len(np.unique(self.lead_ids))

    @property
    def has_both_outcomes(self) -> bool:
        """Whether a model can be fitted and judged."""
        return bool(self.converted.any() and not self.converted.all())

    @property
    def sources(self) -> Floats:
        """Each row's source score, which names its source, shape (rows,)."""
        return self.rows[:, CONTRACT.names.index("lead_source_score")]

    def numbers(self) -> npt.NDArray[np.intp]:
        """Return each row's lead as a number, shape (rows,)."""
        return np.unique(self.lead_ids, return_inverse=True)[1]

    def folds(self) -> npt.NDArray[np.intp]:
        """Return each row's fold, by a hash of its lead, shape (rows,)."""
        of_lead = {lead: _hash(lead) % FOLDS for lead in np.unique(self.lead_ids)}
        return np.array([of_lead[lead] for lead in self.lead_ids])

    def holdout(self) -> Holdout:
        """Return the rows as those that a model is judged on."""
        return Holdout(lead_ids=self.lead_ids, landmark_days=self.landmark_days, converted=self.converted)


def joined(parts: list[LeadRows]) -> LeadRows:
    """Return the rows of several orgs as those of one."""
    return LeadRows(
        ALL_ORGS,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.converted for part in parts]),
        np.concatenate([part.landmark_days for part in parts]),
        np.concatenate([part.lead_ids for part in parts]),
    )


def wide_console() -> Console:
    """Return a console that these tables fit on, also when the output goes to a file."""
    return Console(width=max(NARROWEST_COLUMNS, Console().width))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be asked for a folder of CRM tables, or for the simulator."""
    parser.add_argument("folder", type=Path, nargs="?", help="folder of CSV files, one per CRM table")
    parser.add_argument("--as-of", type=parse_time, help="with a folder: train as of this date or time")
    parser.add_argument("--simulated", action="store_true", help="simulate the demo orgs instead of reading a folder")


def read_leads(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, simulated: Sequence[Org] = DEMO_ORGS
) -> list[LeadRows]:
    """Return the leads of every org that was asked for; of `simulated` with `--simulated`."""
    if arguments.simulated == bool(arguments.folder) or bool(arguments.folder) != bool(arguments.as_of):
        parser.error("name a folder with --as-of, or ask for --simulated")
    crm = simulated_crm(simulated, SEED) if arguments.simulated else loaded_crm(arguments.folder)
    as_of = SIMULATED_AT if arguments.simulated else arguments.as_of
    with crm as settings:
        with connect(settings) as connection:
            org_ids = orgs(connection)
        return [lead_rows(org_id, features_of(settings, org_id, as_of)) for org_id in org_ids]


def with_all(parts: list[LeadRows]) -> list[LeadRows]:
    """Return the orgs that a model can be fitted for, and last all orgs as one."""
    usable = [part for part in parts if part.has_both_outcomes and part.records >= Settings().min_records]
    return [*usable, joined(parts)]


def lead_rows(org_id: str, features: FeatureRows) -> LeadRows:
    """Return checked rows as arrays."""
    rows = features.rows
    return LeadRows(
        org_id=org_id,
        rows=features.matrix(),
        converted=features.outcomes(),
        landmark_days=rows["landmark_days"].to_numpy(dtype=np.int64),
        lead_ids=np.array([f"{org_id}/{lead_id}" for lead_id in rows["lead_id"]]),
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
