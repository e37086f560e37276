"""Trains orgs in this process with the functions that the assets call, one for each line of its input.

It is run as a file, with the packages of whichever checkout PYTHONPATH names, the settings of its environment, and
`as_of` as its argument. For each org id that it reads it writes a line: the seconds of CPU time by stage, as JSON. With
`--profile`, the functions of the packages that take most follow when the input ends. With `--taught` a pooled model of
all orgs is trained before, and the orgs begin with it.
"""

from __future__ import annotations

import cProfile
import io
import json
import logging
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from leadscore.features import CONTRACT
from leadscore.gate import policy_from
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.activation import apply_verdict, roll_back
from leadscore.registry.store import REPORT_FILE, Registry
from leadscore.settings import Settings, parse_time, read_settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.report.describe import material_from
from leadscore_assets.report.render import render_report
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.orgs import orgs
from leadscore_assets.source.pooled import extract_pooled
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.judge import judge
from leadscore_assets.training.train import train

SHOWN_FUNCTIONS = 40

Result = TypeVar("Result")


class Stopwatch:
    """Takes the CPU time of this process, all threads together, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def take(self, stage: str, work: Callable[[], Result]) -> Result:
        """Return what the work returns; its time is added to the stage's."""
        started = time.process_time()
        result = work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - started
        return result


def activate_pool(settings: Settings, as_of: str) -> None:
    """Train the pooled model of all orgs, and make it active."""
    window, registry = window_from(settings, parse_time(as_of)), Registry(settings.model_path)
    with connect(settings, read_only=True) as connection:
        org_ids = orgs(connection)
    features = check_rows(extract_pooled(settings, org_ids, window), CONTRACT)
    version = train(registry, POOLED, features).version
    roll_back(registry, POOLED, version, by="benchmark", reason="to teach", is_forced=True)


def train_org(settings: Settings, org_id: str, as_of: str) -> dict[str, float]:
    """Do all that a training does for an org, and return the seconds by stage."""
    registry, policy, watch = Registry(settings.model_path), policy_from(settings), Stopwatch()
    window = window_from(settings, parse_time(as_of))
    records = watch.take("extract", lambda: extract(settings, org_id, window))
    features = watch.take("check", lambda: check_rows(records, CONTRACT))
    version = watch.take("train", lambda: _trained(settings, registry, org_id, features))
    is_pooling = settings.pooled_model
    judging = watch.take("judge", lambda: judge(registry, org_id, version, features, policy, is_pooling=is_pooling))
    material = watch.take("report", lambda: material_from(settings, judging))
    files = {REPORT_FILE: watch.take("report", lambda: render_report(material))}
    watch.take("store and activate", lambda: registry.record_judgement(org_id, version, material.judgement, files))
    watch.take("store and activate", lambda: apply_verdict(registry, org_id, version, by="benchmark"))
    return watch.seconds


def _trained(settings: Settings, registry: Registry, org_id: str, features: FeatureRows) -> str:
    if not settings.pooled_model:
        return train(registry, org_id, features).version
    from leadscore_assets.training.teacher import teacher_for  # noqa: PLC0415 (an older checkout has none)

    teacher = teacher_for(registry, org_id, features, logging.getLogger(__name__))
    return train(registry, org_id, features, teacher=teacher).version


def main(as_of: str, *, is_profiled: bool, is_taught: bool) -> None:
    """Train the orgs that are asked for; the first one's imports and compiling are not profiled."""
    settings, profile = replace(read_settings(), pooled_model=is_taught), cProfile.Profile(time.process_time)
    if is_taught:
        activate_pool(settings, as_of)
    for number, line in enumerate(sys.stdin):
        if is_profiled and number == 1:
            profile.enable()
        print(json.dumps(train_org(settings, line.strip(), as_of)), flush=True)
    profile.disable()
    if is_profiled:
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats("leadscore", SHOWN_FUNCTIONS)
        print(text.getvalue())


if __name__ == "__main__":
    main(sys.argv[1], is_profiled="--profile" in sys.argv, is_taught="--taught" in sys.argv)
