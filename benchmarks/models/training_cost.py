"""What the training of an org costs, stage by stage: `python -m benchmarks.models.training_cost [--against FOLDER]`.

Trains simulated orgs one after the other in one process without Dagster, by the functions that the assets call, and
takes the CPU time of that process. PostgreSQL's is not in it. Each org is trained ROUNDS times as of the same time: at
first without an active version to compare with, then with one.

FOLDER is another checkout, as `git worktree add FOLDER REVISION` makes one. Its code runs in a second process, with
this interpreter, and both take turns org by org, so that whatever else the machine does disturbs both alike. The ratio
here / there is the geometric mean over orgs, with its 95 % bootstrap interval: one that holds 1 shows no difference.

With `--taught` the orgs begin with a pooled model of them all here, while those there learn alone.

The bytes are those of an org's newest version. `--profile` shows the functions of ours that take most, by
CPU time with what they call; the profiler itself makes it about twice as long.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from rich.table import Table

from benchmarks.checkouts import HERE, THERE, Ratio, checkout
from benchmarks.models.harness.lead_rows import wide_console
from benchmarks.throwaway_crm import SIMULATED_AT, simulated_crm
from leadscore.settings import PROJECT_ROOT, Settings
from standalone.orgs import Org, equal_orgs

LOOP = Path(__file__).parent / "harness" / "bare_loop.py"
DATABASE = ("db_host", "db_port", "db_name", "db_user", "db_password")
MESSAGES_PER_LEAD = 8.0
SEED = 3
TOTAL = "all"

Seconds = dict[str, float]


@dataclass
class Side:
    """A process that trains with the code of one checkout, its registry, and its trainings: seconds by stage."""

    process: subprocess.Popen[str]
    models: Path
    trainings: list[Seconds] = field(default_factory=list)

    def train(self, org_id: str) -> Seconds:
        """Train an org and return the seconds by stage."""
        self._input.write(f"{org_id}\n")
        self._input.flush()
        line = self._output.readline()
        if not line:
            sys.exit("a process that trains has ended; its error stands above")
        seconds: Seconds = json.loads(line)
        return seconds | {TOTAL: sum(seconds.values())}

    def end(self) -> str:
        """Let the process end, and return what it still says."""
        self._input.close()
        said = self._output.read()
        self.process.wait()
        return said

    def newest_files(self, org_id: str) -> list[Path]:
        """Return the files of the org's newest version."""
        versions = sorted(path for path in (self.models / org_id).iterdir() if path.name.isdigit())
        return list(versions[-1].iterdir())

    @property
    def _input(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    warm_up, *orgs = equal_orgs(arguments.orgs + 1, arguments.leads, MESSAGES_PER_LEAD)
    folders = {HERE: PROJECT_ROOT} | ({THERE: arguments.against} if arguments.against else {})
    with simulated_crm([warm_up, *orgs], SEED) as settings, ExitStack() as stack:
        sides = {
            name: stack.enter_context(_side(settings, folder, _options(arguments, name)))
            for name, folder in folders.items()
        }
        for side in sides.values():
            side.train(warm_up.org_id)
        _take_turns(list(sides.values()), orgs, arguments.rounds)
        console = wide_console()
        console.print(_stages(sides, len(orgs)), _sizes(sides, orgs))
        for name, side in sides.items():
            if said := side.end().strip():
                console.print(f"{name}: {said}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orgs", type=int, default=8)
    parser.add_argument("--leads", type=int, default=1_500, help="leads of each org")
    parser.add_argument("--rounds", type=int, default=2, help="how often each org is trained")
    parser.add_argument("--against", type=checkout, metavar="FOLDER", help="another checkout to compare with")
    parser.add_argument("--taught", action="store_true", help="let the orgs begin with a pooled model, here alone")
    parser.add_argument("--profile", action="store_true", help="show which functions take most")
    return parser.parse_args()


def _options(arguments: argparse.Namespace, name: str) -> list[str]:
    taught = ["--taught"] if arguments.taught and name == HERE else []
    return [*taught, *(["--profile"] if arguments.profile else [])]


@contextmanager
def _side(settings: Settings, folder: Path, options: Sequence[str]) -> Iterator[Side]:
    """Yield a process with the code of the checkout in `folder`, and a registry of its own."""
    with tempfile.TemporaryDirectory(prefix="leadscore-") as models:
        values = {name.upper(): str(getattr(settings, name)) for name in DATABASE}
        environment = os.environ | values | {"MODEL_PATH": models, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        command = [sys.executable, str(LOOP), SIMULATED_AT.isoformat(), *options]
        with subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                yield Side(process, Path(models))
            finally:
                process.kill()


def _take_turns(sides: list[Side], orgs: Sequence[Org], rounds: int) -> None:
    for _ in range(rounds):
        for org in orgs:
            for side in sides:
                side.trainings.append(side.train(org.org_id))
            sides.reverse()


def _stages(sides: dict[str, Side], orgs: int) -> Table:
    """Return the mean CPU time of each stage, and of a whole training at first and later, with the ratios."""
    ratio = [f"{HERE} / {THERE} [95 % interval]"] if THERE in sides else []
    table = Table("ms of CPU time per org", *sides, *ratio)
    first, later = slice(0, orgs), slice(orgs, None)
    lines = [(stage, stage, slice(None)) for stage in sides[HERE].trainings[0] if stage != TOTAL]
    lines += [("an org's first training", TOTAL, first), ("a later one, with an active version", TOTAL, later)]
    for label, stage, which in lines:
        taken = {name: [training[stage] for training in side.trainings[which]] for name, side in sides.items()}
        if taken[HERE]:
            ratios = [str(Ratio.of(taken[HERE], taken[THERE]))] if ratio else []
            table.add_row(label, *(f"{np.mean(seconds) * 1e3:,.1f}" for seconds in taken.values()), *ratios)
    return table


def _sizes(sides: dict[str, Side], orgs: Sequence[Org]) -> Table:
    """Return the bytes of each file of the orgs' newest versions, the mean over the orgs."""
    totals: dict[str, Counter[str]] = {name: Counter() for name in sides}
    for name, side in sides.items():
        for org in orgs:
            totals[name].update({path.name: path.stat().st_size for path in side.newest_files(org.org_id)})
    table = Table("bytes of a version", *sides)
    for file in sorted(set().union(*totals.values())):
        table.add_row(file, *(f"{sizes[file] / len(orgs):,.0f}" for sizes in totals.values()))
    table.add_row(TOTAL, *(f"{sizes.total() / len(orgs):,.0f}" for sizes in totals.values()))
    return table


if __name__ == "__main__":
    main()
