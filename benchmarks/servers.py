"""HTTP servers for a Flask app that answers always the same: `python -m benchmarks.servers`.

Each candidate has the machine for itself. The table says requests a second and slow answers (8 and 32 connections,
median of the rounds), memory at rest (PSS of all processes), and how it behaves: how long a request takes while 150
clients stall in the body, or in the headers, and after how many seconds these are cut off; the status of a body in
chunks that is larger than allowed; requests lost by a SIGTERM under load, and seconds until it ended; and seconds
until all is as before when one process was killed. A dash is longer than what is waited for, or never.

The last line is our server: speed and memory with the empty app, behaviour with the real one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.shared import services
from benchmarks.shared.behaviour import (
    recovered,
    stalled_body,
    stalled_head,
    status_of_chunks,
    stopped_under_load,
    under_stalled,
)
from benchmarks.shared.goals import load_average
from benchmarks.shared.load import generator, post
from benchmarks.shared.plain_app import MAX_BODY_BYTES
from benchmarks.shared.processes import Service, running
from benchmarks.shared.rates import CONNECTIONS, Contender, measure_rates, say
from benchmarks.shared.served import PREDICT
from standalone.throwaway import free_port

PATH = "/predict"
BODY = b'{"org_id": "default", "features": {"lead_source_score": 30}}'
GUNICORN = ("gunicorn", "plain_app:app", "-w", "2", "-b", "127.0.0.1:{port}")
GRANIAN = ("granian", "--interface", "wsgi", "--workers", "2", "--port", "{port}", "plain_app:app")
COMMANDS = {
    "waitress, 1 process": ("python", "plain_app.py", "{port}", "1"),
    "waitress, 2 processes": ("python", "plain_app.py", "{port}", "2"),
    "gunicorn sync, 2": (*GUNICORN, "-k", "sync"),
    "gunicorn gthread, 2x4": (*GUNICORN, "-k", "gthread", "--threads", "4"),
    "uvicorn + a2wsgi, 2": ("uvicorn", "--factory", "plain_app:asgi", "--workers", "2", "--port", "{port}"),
    "granian WSGI, 2": (*GRANIAN, "--blocking-threads", "1", "--respawn-failed-workers"),
}
GROUPS = f"{'':<23}{'requests/s':>14}{'p99 ms':>13}{'':>7}{'150 stalled in':>26}{'SIGTERM':>13}"
HEADINGS = ("8", "32", "8", "32", "MB", "body ms", "cut s", "head ms", "cut s", "chunks", "lost", "end s", "kill -9")


@dataclass(frozen=True)
class Candidate:
    """How a server is started for speed, how for its behaviour, and which path it is asked for then."""

    service: Callable[[], Service]
    behaving: Callable[[], Service]
    path: str = PATH


def main() -> None:
    """Print a line per candidate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of load")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of load in a round, after the warm-up")
    parser.add_argument("--only", help="measure the candidates whose name holds this")
    arguments = parser.parse_args()
    services.require_bench_venv()
    print(f"{load_average()}\n{GROUPS}\n{'':<23}{line(HEADINGS)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="leadscore-") as folder, generator() as process:
        for name, candidate in candidates(Path(folder)).items():
            if (arguments.only or "") in name:
                speed = speed_of(candidate, Path(folder), process, arguments.rounds, arguments.seconds)
                print(f"{name:<23}{line((*speed, *behaviour_of(candidate, Path(folder), process)))}", flush=True)
    print(load_average())


def line(cells: tuple[str, ...]) -> str:
    """Return the cells as columns."""
    widths = (7, 7, 6, 7, 5, 8, 6, 8, 6, 7, 5, 6, 8)
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def candidates(folder: Path) -> dict[str, Candidate]:
    """Return all servers by name, ours last."""
    found = {}
    for name, command in COMMANDS.items():
        found[name] = Candidate(*[lambda name=name, command=command: plain(name, command)] * 2)
    models = folder / "models"
    limited = {"MAX_BODY_BYTES": str(MAX_BODY_BYTES)}
    found["ours: RSGI, bridge, 2"] = Candidate(services.empty, lambda: _with(services.ours(models), limited), PREDICT)
    return found


def plain(name: str, command: tuple[str, ...]) -> Service:
    """Return a server that is not ours, with the empty app."""
    port = free_port()
    program, *arguments = (part.format(port=port) for part in command)
    return Service(name, (services.BENCH_BIN / program, *arguments), port, folder=services.PEERS.parent)


def _with(service: Service, environment: dict[str, str]) -> Service:
    return replace(service, environment={**service.environment, **environment})


def speed_of(
    candidate: Candidate, folder: Path, process: ProcessPoolExecutor, rounds: int, seconds: float
) -> tuple[str, ...]:
    """Return the cells about requests a second, slow answers and memory."""
    with running([candidate.service()], folder) as by_name:
        [(name, service)] = by_name.items()
        rates = measure_rates([Contender(service, [post(PATH, BODY)])], process, rounds=rounds, seconds=seconds)
        memory = service.pss_bytes() / 1e6
    per_second = [f"{rates[name, count].median('per_second'):,.0f}" for count in CONNECTIONS]
    p99 = [f"{rates[name, count].median('p99_ms'):.1f}" for count in CONNECTIONS]
    return (*per_second, *p99, f"{memory:.0f}")


def behaviour_of(candidate: Candidate, folder: Path, process: ProcessPoolExecutor) -> tuple[str, ...]:
    """Return the cells about stalled clients, large bodies, and signals."""
    request, cells = post(candidate.path, BODY), []
    for stalled in (stalled_body, stalled_head):
        say(f"{stalled.__name__}")
        with running([candidate.behaving()], folder) as by_name:
            [service] = by_name.values()
            took_seconds, cut_off_seconds = under_stalled(service.port, stalled(candidate.path), request)
            cells += [shown(took_seconds, 1e3), shown(cut_off_seconds)]
    with running([candidate.behaving()], folder) as by_name:
        [service] = by_name.values()
        cells.append(status_of_chunks(service.port, candidate.path))
        back = shown(recovered(service, request))
    with running([candidate.behaving()], folder) as by_name:
        [service] = by_name.values()
        lost, seconds = stopped_under_load(service, request, process)
    return (*cells, str(lost), shown(seconds), back)


def shown(figure: float | None, unit: float = 1.0) -> str:
    """Return the figure, or a dash where there is none."""
    return "-" if figure is None else f"{figure * unit:,.1f}"


if __name__ == "__main__":
    main()
