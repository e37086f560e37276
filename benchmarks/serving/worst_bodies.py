"""What the costliest bodies cost: `python -m benchmarks.serving.worst_bodies [FOLDER ...]`.

Each body is the largest of its shape that the default limits allow, or a little more. For each, the table has the
status of the answer, the CPU time of all of the server's processes, and by how much their memory grew. Each FOLDER is
another checkout, whose server gets the same bodies and limits; it may take minutes and gigabytes.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkouts import HERE, checkout
from benchmarks.serving.harness.goal_table import load_average
from benchmarks.serving.harness.load_generator import LOOPBACK
from benchmarks.serving.harness.registries import Served, trained
from benchmarks.serving.harness.service_processes import Running, running
from benchmarks.serving.harness.worst_shapes import Shape, worst_shapes
from benchmarks.serving.neighbours import MOST_SECONDS, batch_of, service_of
from leadscore.settings import PROJECT_ROOT, Settings

HONEST = "an honest batch of 1,000 leads"
WARM_UPS = 4


@dataclass(frozen=True)
class Cost:
    """How a body was answered, None when it was not in time, and what it took."""

    status: int | None
    cpu_ms: float
    megabytes: float


def main() -> None:
    """Print a table for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=checkout, nargs="*", help="other checkouts to measure in the same way")
    parser.add_argument("--records", type=int, default=1_500, help="train the forest on so many records")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leadscore-") as name:
        served = trained(Path(name) / "models", arguments.records)
        print(f"{served.in_words()}; {load_average()}", flush=True)
        for folder in (PROJECT_ROOT, *arguments.folders):
            print(f"\n{HERE if folder == PROJECT_ROOT else folder}")
            print_costs(served, folder)


def print_costs(served: Served, folder: Path) -> None:
    """Print a line for each shape, and one for an honest batch."""
    path, body = batch_of(served)
    honest = Shape(HONEST, path, body, 200)
    print(f"{'body':<48}{'kB':>7}{'status':>8}{'CPU ms':>9}{'MB more':>9}", flush=True)
    with running([service_of(served, folder)], served.models.parent) as by_name:
        [server] = by_name.values()
        for _ in range(WARM_UPS):  # so that each process has loaded the version
            sent(server, honest)
        for shape in (honest, *worst_shapes(Settings().max_body_bytes)):
            cost = sent(server, shape)
            figures = f"{cost.status or 'none':>8}{cost.cpu_ms:>9,.0f}{cost.megabytes:>9,.1f}"
            print(f"{shape.name:<48}{len(shape.body) / 1e3:>7,.0f}{figures}", flush=True)


def sent(server: Running, shape: Shape) -> Cost:
    """Send the body, and return what it cost."""
    cpu_seconds, pss_bytes, status = server.cpu_seconds(), server.pss_bytes(), None
    # a body that is refused by its length may be cut off
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, server.port, timeout=MOST_SECONDS)) as connection:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", shape.path, shape.body, {"Content-Type": "application/json"})
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = connection.getresponse().status
    grown = (server.pss_bytes() - pss_bytes) / 1e6
    return Cost(status, (server.cpu_seconds() - cpu_seconds) * 1e3, grown)


if __name__ == "__main__":
    main()
