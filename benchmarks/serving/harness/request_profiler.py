"""An app called in this process, without a server: how long a request takes, and in which part of the code.

The parts are found by sampling: a timer interrupts the calls at random moments, and each time the innermost frame
whose module is known names the part. Shares add up to 1 by themselves, and what is measured is hardly disturbed.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from benchmarks.serving.harness.services import TOKENS
from serving.server.rsgi import OF_EVERY_REQUEST, TICK_SECONDS

MEAN_INTERVAL_SECONDS = 0.001
WARM_UP_CALLS = 500
FLASK = "Flask: routing, contexts, request, response"
PARSE, FIND, SCORE = "parse and validate", "find the model", "score and explain"
BUILD, ENCODE, METRICS, LOG = "build the answer", "encode it as JSON", "metrics", "log line"
IDENTIFY, ADMIT = "request id, headers", "check the caller"
PARTS = (FLASK, ADMIT, PARSE, FIND, SCORE, BUILD, ENCODE, METRICS, LOG, IDENTIFY)
# the longest module name that fits decides; a function that is named so decides before its module
PART_OF_MODULE = {
    "flask": FLASK,
    "werkzeug": FLASK,
    "serving.api.access": ADMIT,
    "serving.api.request_parsing": PARSE,
    "serving.api.endpoint": PARSE,
    "serving.api.lead_parsing": PARSE,
    "serving.api.scoring": BUILD,
    "serving.api.schema": ENCODE,
    "serving.telemetry.request_context": IDENTIFY,
    "serving.models.cache": FIND,
    "serving.telemetry.metrics": METRICS,
    "serving.api.request_hooks": IDENTIFY,
    "serving.telemetry.json_logging": LOG,
    "leadscore.tokens": ADMIT,
    "leadscore.features": PARSE,
    "leadscore.registry": FIND,
    "leadscore.engine": SCORE,
    "leadscore.scoring": SCORE,
    "prometheus_client": METRICS,
    "serving.telemetry.recorder": LOG,
    "logging": LOG,
}
PART_OF_FUNCTION = {
    "serving.api.endpoint.answer": ENCODE,
    "serving.api.endpoint.__init__": ENCODE,
    "serving.api.endpoint._admitted": ADMIT,
    "serving.api.endpoint._check_org": ADMIT,
}


@dataclass(frozen=True)
class InProcess:
    """The processor's time of a call in microseconds, and which share of it each part takes, with how many samples."""

    call_us: float
    shares: dict[str, float]
    samples: int


class Requests(NamedTuple):
    """What an app is called with: a path, JSON bodies, and a token if it requires one."""

    path: str
    bodies: Sequence[bytes]
    token: str = ""


def profiled(app_name: str, models: Path, requests: Requests, seconds: float) -> InProcess:
    """Call the app named `ours` or `empty` with the requests in turn, timed and then sampled for `seconds` each.

    When they have a token, it is in the file TOKENS beside `models`, and the app requires it. To be run in a process of
    its own: it counts and logs as a server's process does, into a folder beside `models`.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"alone-{app_name}-", dir=models.parent))
    metrics = folder / "metrics"
    metrics.mkdir()
    # read when prometheus_client is imported, so before anything of ours is
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    with (folder / "log.jsonl").open("w") as log:
        call = _caller(_app(app_name, models, folder, log, is_guarded=bool(requests.token)), requests)
        for _ in range(WARM_UP_CALLS):
            call()
        call_us = _cpu_us(call, seconds)
        with _sampled() as counts:
            _cpu_us(call, seconds)
    samples = sum(counts.values())
    return InProcess(call_us, {part: counts[part] / samples for part in PARTS}, samples)


def combined(profiles: Sequence[InProcess]) -> InProcess:
    """Return the median time and the mean shares of several profiles of an app."""
    return InProcess(
        call_us=statistics.median(profile.call_us for profile in profiles),
        shares={part: statistics.fmean(profile.shares[part] for profile in profiles) for part in PARTS},
        samples=sum(profile.samples for profile in profiles),
    )


def _app(name: str, models: Path, folder: Path, log: io.TextIOBase, *, is_guarded: bool) -> Any:
    from benchmarks.serving.harness.reference_apps import empty  # noqa: PLC0415  # see `profiled`
    from leadscore.engine.native import kernels  # noqa: PLC0415  # likewise
    from leadscore.settings import Settings  # noqa: PLC0415  # likewise
    from serving.app import create_app  # noqa: PLC0415  # likewise
    from serving.telemetry.json_logging import write_json_lines  # noqa: PLC0415  # likewise

    kernels()
    with redirect_stdout(log):
        write_json_lines("INFO")
    tokens = models.parent / TOKENS if is_guarded else folder / "none.json"
    return empty() if name == "empty" else create_app(Settings(model_path=models, tokens_file=tokens), folder=folder)


def _caller(app: Any, requests: Requests) -> Callable[[], None]:
    """Return a function that sends the next body to the app, as the server would, and lets it write its record.

    The body must be answered with 200.
    """
    path, turns, recorder = requests.path, itertools.cycle(requests.bodies), getattr(app, "recorder", None)
    shown = {"HTTP_AUTHORIZATION": f"Bearer {requests.token}"} if requests.token else {}
    written = time.monotonic()
    if recorder:
        recorder.is_deferred = True

    def start(status: str, _headers: Any, _exc_info: Any = None) -> None:
        if not status.startswith("200"):
            raise RuntimeError(f"{path} was answered with {status}")

    def call() -> None:
        nonlocal written
        parts = app.wsgi_app(_environ(path, next(turns)) | shown, start)
        b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        if recorder and time.monotonic() - written > TICK_SECONDS:
            recorder.write()
            written = time.monotonic()

    return call


def _environ(path: str, content: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "HTTP_HOST": "localhost",
        "wsgi.input": io.BytesIO(content),
        **OF_EVERY_REQUEST,
    }


def _cpu_us(call: Callable[[], None], seconds: float) -> float:
    """Return the processor's time of a call in microseconds; what else the machine does is not in it."""
    calls, began, ends = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        call()
        calls += 1
    return (time.process_time() - began) / calls * 1e6


@contextmanager
def _sampled() -> Iterator[Counter[str]]:
    """Count, at random moments, which part the code is in."""
    counts: Counter[str] = Counter()
    turn = random.Random(1)

    def sample(_number: int, frame: FrameType | None) -> None:
        counts[part_of(frame)] += 1
        signal.setitimer(signal.ITIMER_REAL, turn.uniform(0.5, 1.5) * MEAN_INTERVAL_SECONDS)

    before = signal.signal(signal.SIGALRM, sample)
    signal.setitimer(signal.ITIMER_REAL, MEAN_INTERVAL_SECONDS)
    try:
        yield counts
    finally:
        # the handler first: it sets the timer again, and by default the signal ends the process
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def part_of(frame: FrameType | None) -> str:
    """Return the part that the innermost frame of a known module belongs to; Flask's where there is none."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        part = PART_OF_FUNCTION.get(f"{module}.{frame.f_code.co_name}")
        while part is None and module:
            part, module = PART_OF_MODULE.get(module), module.rpartition(".")[0]
        if part is not None:
            return part
        frame = frame.f_back
    return FLASK
