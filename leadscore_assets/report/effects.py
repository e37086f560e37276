"""How each feature moves the score: its mean contribution, value by value, over a sample of held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leadscore.arrays import Flags, Floats, Texts, evenly_spread
from leadscore.engine.scorer import Scorer
from leadscore.features import Contract, Feature, label_of
from leadscore_assets.report.slices import FEWEST_LEADS

MOST_ROWS = 1_000
MOST_BINS = 6
UNKNOWN = "unknown"
FLAG_WORDS = {"0": "no", "1": "yes"}
_EDGE_DIGITS = 2
_SMALL = 100


@dataclass(frozen=True)
class Bin:
    """Sampled rows with about the same value: how many leads, and the feature's mean contribution, in probability."""

    label: str
    leads: int
    contribution: float


@dataclass(frozen=True)
class Effect:
    """A feature's bins in the order of its values, the unknown last; `label` and `unit` are for people."""

    label: str
    unit: str
    bins: tuple[Bin, ...]


def effects(scorer: Scorer, contract: Contract, rows: Floats, lead_ids: Texts) -> tuple[Effect, ...]:
    """Return each feature's effect over up to MOST_ROWS of `rows`, shape (rows, features), evenly spread."""
    kept = evenly_spread(len(rows), MOST_ROWS)
    rows, lead_ids = rows[kept], lead_ids[kept]
    contributions = scorer.contributions(rows)
    return tuple(
        _effect(feature, _bins(rows[:, column], contributions[:, column], lead_ids))
        for column, feature in enumerate(contract.features)
    )


def _effect(feature: Feature, bins: tuple[Bin, ...]) -> Effect:
    """Return the effect in words; only a number's unit says more than its label."""
    if feature.kind == "flag":
        bins = tuple(replace(part, label=FLAG_WORDS.get(part.label, part.label)) for part in bins)
    return Effect(label_of(feature.name), feature.unit if feature.kind == "number" else "", bins)


def _bins(values: Floats, contributions: Floats, lead_ids: Texts) -> tuple[Bin, ...]:
    is_known = ~np.isnan(values)
    known = values[is_known]
    is_whole = bool((known == np.round(known)).all())
    edges = _wide_enough(_edges(known), known, lead_ids[is_known]) if len(known) else np.empty(0)
    place = np.searchsorted(edges, values, side="left")
    groups: list[tuple[str, Flags]] = []
    for index in range(len(edges) + 1):
        is_inside = is_known & (place == index)
        groups.append((_label(edges, index, values[is_inside], is_whole=is_whole), is_inside))
    groups.append((UNKNOWN, ~is_known))
    counted = ((label, is_inside, len(np.unique(lead_ids[is_inside]))) for label, is_inside in groups)
    return tuple(
        Bin(label, leads, float(contributions[is_inside].mean()))
        for label, is_inside, leads in counted
        if leads >= FEWEST_LEADS
    )


def _edges(known: Floats) -> Floats:
    """Return where bins end, each end inside its bin: between few values at each, else at rounded quantiles."""
    distinct = np.unique(known)
    if len(distinct) <= MOST_BINS:
        return distinct[:-1]
    quantiles = np.quantile(known, np.arange(1, MOST_BINS) / MOST_BINS)
    rounded = np.array([float(f"{quantile:.{_EDGE_DIGITS}g}") for quantile in quantiles])
    edges = np.unique(np.floor(rounded) if (known == np.round(known)).all() else rounded)
    kept: Floats = edges[(edges >= distinct[0]) & (edges < distinct[-1])]
    return kept


def _wide_enough(edges: Floats, known: Floats, lead_ids: Texts) -> Floats:
    """Return the edges without those that would leave too few leads between them."""
    kept: list[float] = []
    for edge in edges.tolist():
        is_inside = (known <= edge) & (known > (kept[-1] if kept else -np.inf))
        if len(np.unique(lead_ids[is_inside])) >= FEWEST_LEADS:
            kept.append(edge)
    while kept and len(np.unique(lead_ids[known > kept[-1]])) < FEWEST_LEADS:
        kept.pop()
    return np.array(kept)


def _label(edges: Floats, index: int, inside: Floats, *, is_whole: bool) -> str:
    if len(inside) and inside.min() == inside.max():
        return _shown(inside[0])
    if not len(edges):
        return "any"
    if index == 0:
        return f"up to {_shown(edges[0])}"
    if index == len(edges):
        return f"over {_shown(edges[-1])}"
    first = edges[index - 1] + 1 if is_whole and edges[index] < _SMALL else edges[index - 1]
    return f"{_shown(first)} to {_shown(edges[index])}"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"
