"""How the cost of one lead grows with the forest: `python -m benchmarks.growth PICTURE.png`.

Forests are grown with the product's parameters, first on 500 to 50,000 records of one simulated org, then on 5,000
with trees of depth 4 to 16. Of each, in one process and in turns: a lead scored by our engine, scored and explained,
explained by shap, scored by scikit-learn; and a version loaded: its file read, its hash checked, its arrays checked.
Times are medians over different leads. The table says what a leaf costs, the picture shows the curves.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shap
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from sklearn.ensemble import RandomForestClassifier

from benchmarks.shared.served import engine_bytes, simulated
from leadscore.arrays import Floats
from leadscore.features import CONTRACT
from leadscore.forest import LEAF
from leadscore.registry.durable_files import read_verified, sha256_of
from leadscore.registry.version import ENGINE_FILE, decode_scorer
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.fit import flatten
from leadscore_assets.training.shapes import FINE, SEED, SHAPES, TREES

RECORDS = (500, 1_500, 5_000, 15_000, 50_000)
DEPTHS = (4, 6, 8, 10, 12, 14, 16)
RECORDS_OF_DEPTHS = 5_000
USUAL_DEPTH = SHAPES[FINE]["max_depth"]
DIFFERENT_LEADS = 50
REPEATS, FEW_REPEATS = 400, 20
MICROSECONDS = 1e6
WAYS = {"score": "ours, probability", "explain": "ours, with reasons", "shap": "shap", "sklearn": "predict_proba"}
STYLES = {"score": "o:", "explain": "s-", "shap": "^--", "sklearn": "x-."}


@dataclass(frozen=True)
class Point:
    """One forest: its size, and the microseconds of each way and of a load."""

    records: int
    depth: int
    leaves: int
    features_per_leaf: float
    explained_bytes: int
    microseconds: dict[str, float]
    load_us: float

    @property
    def nanoseconds_per_leaf(self) -> float:
        """What the reasons of a lead cost for each leaf; the walk that gives the probability is not in it."""
        return (self.microseconds["explain"] - self.microseconds["score"]) * 1e3 / self.leaves


def main() -> None:
    """Print the table, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--most-records", type=int, default=max(RECORDS), help="leave larger forests out")
    arguments = parser.parse_args()
    sizes = [records for records in RECORDS if records <= arguments.most_records]
    features = simulated(max(sizes))
    print_heading()
    by_records = [measured(features, records, USUAL_DEPTH) for records in sizes]
    by_depth = [measured(features, min(RECORDS_OF_DEPTHS, max(sizes)), depth) for depth in DEPTHS]
    print(where_it_goes([*by_records, *by_depth]))
    draw(by_records, by_depth, arguments.picture)
    print(f"The curves are in {arguments.picture}")


def print_heading() -> None:
    """Print the table's first lines."""
    print("one lead, microseconds; load in milliseconds")
    headings = ("records", "depth", "leaves", "feat/leaf", "MB", *WAYS, "ns/leaf", "load ms")
    print("".join(f"{heading:>{10 if heading == 'feat/leaf' else 9}}" for heading in headings))


def measured(features: FeatureRows, records: int, depth: int) -> Point:
    """Grow a forest on so many records, measure it, and print its line."""
    lead_ids = features.rows["lead_id"].unique()[:records]
    is_taken = np.asarray(features.rows["lead_id"].isin(lead_ids))
    rows = features.matrix()[is_taken]
    shape = {**SHAPES[FINE], "max_depth": depth}
    estimator = RandomForestClassifier(n_estimators=TREES, **shape, random_state=SEED, n_jobs=-1)
    estimator.fit(rows.astype(np.float32), features.outcomes()[is_taken].astype(np.int8)).set_params(n_jobs=1)
    leads = rows[np.linspace(0, len(rows), DIFFERENT_LEADS, endpoint=False).astype(int)]
    found = point(estimator, records, depth, leads)
    times = [f"{found.microseconds[way]:>9,.0f}" for way in WAYS]
    print(
        f"{found.records:>9,}{found.depth:>9}{found.leaves:>9,}{found.features_per_leaf:>10.2f}"
        f"{found.explained_bytes / 1e6:>9.2f}{''.join(times)}{found.nanoseconds_per_leaf:>9.1f}"
        f"{found.load_us / 1e3:>9.2f}",
        flush=True,
    )
    return found


def point(estimator: RandomForestClassifier, records: int, depth: int, leads: Floats) -> Point:
    """Measure one forest on `leads`, shape (leads, features)."""
    forest = flatten(estimator)
    scorer, boxes = forest.scorer, forest.scorer.boxes
    explainer = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
    rows = itertools.cycle([lead[None, :] for lead in leads])
    lists = itertools.cycle(leads.tolist())
    calls: dict[str, Callable[[], object]] = {
        "score": lambda: scorer.verdicts(next(rows)),
        "explain": lambda: scorer.explain(next(lists)),
        "shap": lambda: explainer.shap_values(next(rows), check_additivity=False),
        "sklearn": lambda: estimator.predict_proba(next(rows)),
    }
    return Point(
        records=records,
        depth=depth,
        leaves=int((forest.feature == LEAF).sum()),
        features_per_leaf=float(np.average(boxes.path_lengths, weights=boxes.block_counts)),
        explained_bytes=boxes.blocks.nbytes + boxes.values.nbytes,
        microseconds=median_us(calls),
        load_us=load_us(engine_bytes(scorer)),
    )


def median_us(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return each call's median time in microseconds; the slow ones are called less often."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(REPEATS):
        for name, call in calls.items():
            if name in ("score", "explain") or repeat < FEW_REPEATS:
                started = time.perf_counter()
                call()
                taken[name].append((time.perf_counter() - started) * MICROSECONDS)
    return {name: statistics.median(times) for name, times in taken.items()}


def load_us(content: bytes) -> float:
    """Return the median time to read, verify and check the file of a version, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        path, sha256 = Path(folder) / ENGINE_FILE, sha256_of(content)
        path.write_bytes(content)

        def load() -> object:
            return decode_scorer(read_verified(path, sha256), ENGINE_FILE, len(CONTRACT.features))

        return median_us({"explain": load})["explain"]


def where_it_goes(points: list[Point]) -> str:
    """Return what grows with what, fitted to all forests."""
    leaves = np.log([point.leaves for point in points])
    times = {way: np.log([point.microseconds[way] for point in points]) for way in WAYS}
    powers = {way: np.polyfit(leaves, taken, 1)[0] for way, taken in times.items()}
    walks = [point.microseconds["score"] / point.microseconds["explain"] for point in points]
    read = [point.explained_bytes / (point.nanoseconds_per_leaf * point.leaves) for point in points]
    return (
        f"Time grows as leaves^{powers['explain']:.2f} with reasons, as leaves^{powers['score']:.2f} for a probability"
        f" alone, as leaves^{powers['shap']:.2f} in shap.\nOf a lead with reasons, the walk through the trees takes"
        f" {min(walks):.0%} to {max(walks):.0%}; the rest goes to the leaves,\nall of which are read once, front to"
        f" back: {statistics.median(read):.1f} GB/s in the median."
    )


def draw(by_records: list[Point], by_depth: list[Point], picture: Path) -> None:
    """Draw time against leaves, time against depth, and load time against leaves."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    of_leaves, of_depth, of_load = figure.subplots(1, 3)
    curves(of_leaves, by_records, [point.leaves for point in by_records], "leaves of the forest, by records")
    curves(of_depth, by_depth, [point.depth for point in by_depth], f"greatest depth ({by_depth[0].records:,} records)")
    of_leaves.set_xscale("log")
    of_leaves.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    of_leaves.xaxis.set_major_formatter("{x:,.0f}")
    of_leaves.xaxis.set_minor_locator(NullLocator())
    of_load.xaxis.set_major_formatter("{x:,.0f}")
    of_leaves.legend(frameon=False)
    points = sorted([*by_records, *by_depth], key=lambda point: point.leaves)
    loads = [point.load_us / 1e3 for point in points]
    of_load.plot([point.leaves for point in points], loads, "s-", color="black")
    label(of_load, "leaves of the forest (all forests)", "milliseconds", "Loading a version")
    of_load.set_ylim(bottom=0)
    figure.savefig(picture, dpi=100)


def curves(axes: Axes, points: list[Point], places: list[int], where: str) -> None:
    """Draw a line per way."""
    for way, name in WAYS.items():
        axes.plot(places, [point.microseconds[way] for point in points], STYLES[way], label=name, color="black")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    label(axes, where, "microseconds", "One lead")


def label(axes: Axes, where: str, unit: str, title: str) -> None:
    """Name the axes, and let the lines be read off."""
    axes.set(xlabel=where, ylabel=unit, title=title)
    axes.grid(visible=True, color="0.85")


if __name__ == "__main__":
    main()
