"""CPU time of a prediction, this checkout's against another's: `python -m benchmarks.serving.compare_checkouts FOLDER`.

FOLDER is a checkout from before a change, as `git worktree add FOLDER REVISION` makes one. Both servers run with this
interpreter, over one registry that this checkout trains. They are known by `python -m serving` and by HTTP alone, so
FOLDER may have other modules.

Each round starts both anew and sends them the same requests in short turns, so that whatever else the machine does
disturbs both alike. What a start settles by chance, such as where things lie in memory, differs from round to round.
The ratio, here / there, is the geometric mean over the rounds, with its 95 % bootstrap interval: one that holds 1 shows
no difference. Of fewer than 12 rounds the interval is too narrow.

With --with-lead-ids each request names a lead, and both servers have a throw-away database that was set up, so a server
that remembers such scores writes them. What the database itself takes is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.checkouts import HERE, THERE, Ratio, checkout
from benchmarks.serving.harness import services
from benchmarks.serving.harness.goal_table import Stolen, load_average
from benchmarks.serving.harness.load_generator import generator
from benchmarks.serving.harness.registries import Served, predict_requests, trained
from benchmarks.serving.harness.rounds import CONNECTIONS, Contender, Figures, Rates, measure_rates
from benchmarks.serving.harness.service_processes import Service, running
from leadscore.settings import PROJECT_ROOT
from leadscore_assets.commands.set_up_database import set_up
from standalone.throwaway import new_database, throwaway_server

DATABASE = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
WARM_UP_SECONDS = 1.0
TURNS = 3
SETTLING_SECONDS = 0.1  # from the first request of a turn to where its connections are busy

# of a round: over its turns
FIGURES: dict[str, Callable[[Figures], float]] = {
    "µs of CPU a request": lambda figures: statistics.fmean(figures.server_us),
    "requests/s": lambda figures: statistics.fmean(figures.each("per_second")),
}


def main() -> None:
    """Print two lines per number of connections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=checkout, help="the other checkout")
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS, help="what to measure with")
    parser.add_argument("--rounds", type=int, default=16, help="how often both servers are started and measured")
    parser.add_argument("--seconds", type=float, default=0.5, help=f"seconds of load of each of {TURNS} turns a round")
    parser.add_argument("--records", type=int, default=1_500, help="train the forest on so many records")
    parser.add_argument("--with-lead-ids", action="store_true", help="send requests that name a lead")
    arguments = parser.parse_args()
    stolen = Stolen()
    with (
        tempfile.TemporaryDirectory(prefix="leadscore-") as name,
        generator() as process,
        database(is_needed=arguments.with_lead_ids) as environment,
    ):
        served = trained(Path(name) / "models", arguments.records)
        print(f"{served.in_words()}\nhere: {PROJECT_ROOT}, there: {arguments.folder}; {load_average()}", flush=True)
        sides = services_of(served, arguments.folder, environment)
        requests = predict_requests(served.leads(), has_lead_ids=arguments.with_lead_ids)
        rounds = []
        for _ in range(arguments.rounds):
            with running(sides, served.models.parent) as by_name:
                contenders = [Contender(one, requests) for one in by_name.values()]
                rounds.append(one_round(contenders, process, arguments.seconds, arguments.connections))
            sides.reverse()
    print(table(rounds, arguments.connections))
    print(f"{arguments.rounds} rounds of {TURNS} turns of {arguments.seconds:g} s; {load_average()}; {stolen}")


@contextmanager
def database(*, is_needed: bool) -> Iterator[dict[str, str]]:
    """Yield the environment by which servers find a throw-away database that was set up; of one not needed, none."""
    if not is_needed:
        yield {}
        return
    with throwaway_server() as server:
        settings = new_database(server, "scores")
        set_up(settings)
        yield {name: str(getattr(settings, name.lower())) for name in DATABASE}


def services_of(served: Served, folder: Path, environment: Mapping[str, str]) -> list[Service]:
    """Return our server with the code of this checkout, and with that of the checkout in `folder`."""
    sides = [services.ours(served.models, side, folder=code) for side, code in ((HERE, PROJECT_ROOT), (THERE, folder))]
    return [replace(side, environment={**side.environment, **environment}) for side in sides]


def one_round(
    contenders: list[Contender], process: ProcessPoolExecutor, seconds: float, connections: Sequence[int]
) -> Rates:
    """Let both servers, which were just started, warm up, and measure them in turns."""
    measure_rates(contenders, process, rounds=1, seconds=WARM_UP_SECONDS, connections=[max(connections)])
    return measure_rates(
        contenders,
        process,
        rounds=TURNS,
        seconds=seconds,
        connections=connections,
        warm_up_seconds=SETTLING_SECONDS,
    )


def table(rounds: Sequence[Rates], connections: Sequence[int]) -> str:
    """Return both sides' CPU time of a request and requests a second, each the median of the rounds, and the ratios."""
    lines = [f"{'':<36}{HERE:>9}{THERE:>9}   {HERE} / {THERE} [95 % interval]"]
    for count in connections:
        for what, figure in FIGURES.items():
            here, there = ([figure(rates[side, count]) for rates in rounds] for side in (HERE, THERE))
            middles = "".join(f"{statistics.median(figures):>9,.0f}" for figures in (here, there))
            lines.append(f"{f'{count} connections, {what}':<36}{middles}   {Ratio.of(here, there)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
