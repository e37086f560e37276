"""Where the microseconds of one prediction with reasons go: `python -m benchmarks.serving.profile_request`.

Three measurements are put together.

1. The whole: the processors' time that the server's two processes take for a request, over loopback, at 8 connections.
2. The app alone: the processor's time of a call without a server, in two processes at once. Sampling divides it.
3. The server: the whole minus the app. The empty app gives the same figure a second time, from an answer that has
   nothing to do with ours; by how much the two differ is printed, and is how well the table adds up.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.serving.harness import services
from benchmarks.serving.harness.goal_table import load_average
from benchmarks.serving.harness.load_generator import generator
from benchmarks.serving.harness.registries import PREDICT, Served, body, predict_requests, trained
from benchmarks.serving.harness.request_profiler import PARTS, InProcess, Requests, combined, profiled
from benchmarks.serving.harness.rounds import Contender, measure_rates
from benchmarks.serving.harness.service_processes import running
from leadscore.tokens import Tokens

CONNECTIONS = 8
PATHS = {"ours": PREDICT, "guarded": PREDICT, "empty": "/predict"}  # guarded: ours, once it requires tokens


def main() -> None:
    """Print the profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_500, help="train the forest on so many records")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of load, ours and the empty answer in turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement in a round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leadscore-") as name:
        folder = Path(name)
        served = trained(folder / "models", arguments.records)
        print(f"{served.in_words()}\n{load_average()}", flush=True)
        alone, whole_us = in_rounds(served, folder, arguments.rounds, arguments.seconds)
    print_profile({app: combined(found) for app, found in alone.items()}, whole_us)


def in_rounds(
    served: Served, folder: Path, rounds: int, seconds: float
) -> tuple[dict[str, list[InProcess]], dict[str, float]]:
    """Return by app its profiles alone, and the processors' time of a request over loopback in microseconds.

    All take turns, so that whatever else the machine does disturbs them alike.
    """
    alone: dict[str, list[InProcess]] = {app: [] for app in PATHS}
    whole_us: dict[str, list[float]] = {app: [] for app in PATHS}
    token, _ = Tokens(served.models.parent / services.TOKENS).new(scopes=["score"], orgs=["*"])
    shown = {app: token if app == "guarded" else "" for app in PATHS}
    guarded = services.ours(served.models, name="guarded", tokens=services.TOKENS)
    compared = [services.ours(served.models), guarded, services.empty()]
    with running(compared, folder) as by_name, generator() as process:
        contenders = [
            Contender(by_name[app], predict_requests(served.leads(), path, shown[app])) for app, path in PATHS.items()
        ]
        for _ in range(rounds):
            rates = measure_rates(contenders, process, rounds=1, seconds=seconds, connections=(CONNECTIONS,))
            for app in PATHS:
                whole_us[app] += rates[app, CONNECTIONS].server_us
                alone[app] += app_alone(served, app, seconds, shown[app])
    return alone, {app: statistics.median(found) for app, found in whole_us.items()}


def app_alone(served: Served, app: str, seconds: float, token: str) -> list[InProcess]:
    """Return the profiles of an app in as many processes as the server has, so that they share the processors."""
    bodies = [body(row) for row in served.leads()]
    with ProcessPoolExecutor(services.WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        requests = Requests(PATHS[app], bodies, token)
        jobs = [pool.submit(profiled, app, served.models, requests, seconds) for _ in range(services.WORKERS)]
        return [job.result() for job in jobs]


def print_profile(alone: dict[str, InProcess], whole_us: dict[str, float]) -> None:
    """Print a line per part, the sum, and how well it adds up."""
    ours, guarded, empty = (alone[app] for app in PATHS)
    server_us = whole_us["empty"] - empty.call_us
    parts = {"HTTP server (from the empty answer)": server_us}
    parts |= {part: ours.shares[part] * ours.call_us for part in PARTS}
    total_us = sum(parts.values())
    print(f"{'where':<50}{'µs':>8}{'share':>8}")
    for part, microseconds in parts.items():
        print(f"{part:<50}{microseconds:>8,.0f}{microseconds / total_us:>8.1%}")
    print(f"{'sum of the parts':<50}{total_us:>8,.0f}{1:>8.1%}")
    print(f"{'the whole, measured over loopback':<50}{whole_us['ours']:>8,.0f}{whole_us['ours'] / total_us:>8.1%}")
    print(
        f"{'once it requires tokens: in Flask, and the whole':<50}{guarded.call_us:>8,.0f}{whole_us['guarded']:>8,.0f}"
    )
    print(f"{'without them: in Flask, and the whole':<50}{ours.call_us:>8,.0f}{whole_us['ours']:>8,.0f}")
    print(f"{'an empty answer: in Flask, and the whole':<50}{empty.call_us:>8,.0f}{whole_us['empty']:>8,.0f}")
    print(f"{ours.samples:,} samples of our app, {empty.samples:,} of the empty one; {load_average()}")


if __name__ == "__main__":
    main()
