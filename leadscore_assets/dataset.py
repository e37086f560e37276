"""The values that assets pass on: conversion records, feature rows, a candidate. `source` and `training` share them.

This module has only their types, and must not import psycopg or scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from leadscore.arrays import Flags, Floats
from leadscore.features import Contract
from leadscore.records import RecordCounts, Window

ORG_COLUMN = "crm_org_id"  # whose a lead is, where the rows are of more than one org
KEY_TYPES = {
    "lead_id": "str",
    "created_on": "str",
    "landmark_days": "int64",
    "converted": "int64",
    "is_held_out": "int64",
    ORG_COLUMN: "str",
}


@dataclass(frozen=True)
class ConversionRecords:
    """One org's records.

    `rows` has `lead_id`, `created_on` (YYYY-MM-DD), `landmark_days`, `converted` (0 or 1) and one float64 column per
    feature, NaN for unknown, ordered by the lead's creation, its id and the landmark.
    """

    KEYS: ClassVar = ("lead_id", "created_on", "landmark_days", "converted")

    rows: pd.DataFrame
    counts: RecordCounts
    window: Window


@dataclass(frozen=True)
class FeatureRows:
    """Rows that fit `contract`.

    `rows` has lead_id, created_on (YYYY-MM-DD), landmark_days, converted, is_held_out (0 or 1) and one float64 column
    per feature.
    """

    KEYS: ClassVar = (*ConversionRecords.KEYS, "is_held_out")

    rows: pd.DataFrame
    counts: RecordCounts
    window: Window
    contract: Contract

    def matrix(self) -> Floats:
        """Return the feature vectors, shape (rows, features), NaN for unknown."""
        return feature_matrix(self.rows, self.contract)

    def holdout_mask(self) -> Flags:
        """Return which rows belong to held-out leads, shape (rows,)."""
        return np.asarray(self.rows["is_held_out"], dtype=bool)

    def outcomes(self) -> Flags:
        """Return whether each row's lead converted, shape (rows,)."""
        return np.asarray(self.rows["converted"], dtype=bool)


def feature_matrix(rows: pd.DataFrame, contract: Contract) -> Floats:
    """Return the contract's columns of `rows`, shape (rows, features), in the contract's order."""
    return np.asarray(rows[list(contract.names)], dtype=np.float64)


def count_leads(rows: pd.DataFrame) -> tuple[int, int]:
    """Return how many leads the rows are of, and how many of those converted."""
    leads = rows.drop_duplicates("lead_id")
    return len(leads), int(leads["converted"].sum())


@dataclass(frozen=True)
class Candidate:
    """A version of the org, by its id. The version itself is in the registry."""

    version: str
