"""The services that are compared: ours, an empty answer and a naive service on the same server, mlflow, BentoML."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.serving.harness.service_processes import Service
from leadscore.settings import PROJECT_ROOT
from standalone.throwaway import free_port

WORKERS = 2
LARGEST_BATCH, LARGEST_BODY_BYTES = 10_000, 8_000_000
TOKENS = "tokens.json"
CACHE_BYTES = 8_000_000_000  # everything that is asked for stays in memory
PEERS = Path(__file__).with_name("peers.py")
BENCH_BIN = PROJECT_ROOT / ".venv-bench" / "bin"
# a peer would otherwise ask the world for news, or tell it some
QUIET = {"BENTOML_DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def require_bench_venv() -> None:
    """End the program when `.venv-bench` is not there."""
    if not (BENCH_BIN / "bentoml").exists():
        sys.exit("What our server is compared with is not installed: run `make bench-serving-setup` first")


def ours(
    models: Path,
    name: str = "ours",
    workers: int = WORKERS,
    folder: Path = PROJECT_ROOT,
    tokens: str = "none.json",
) -> Service:
    """Return our server over the registry in `models`; first requests are measured, so nothing is loaded before.

    `folder` is the checkout whose code it runs. `tokens` names the file of tokens beside `models`; without one, nobody
    needs a token, and the user's own tokens do not matter.
    """
    environment = {
        "MODEL_PATH": str(models),
        "TOKENS_FILE": str(models.parent / tokens),
        "MAX_BATCH_SIZE": str(LARGEST_BATCH),
        "MAX_BODY_BYTES": str(LARGEST_BODY_BYTES),
        "MODEL_CACHE_BYTES": str(CACHE_BYTES),
        "WARM_UP_SECONDS": "0",
    }
    return replace(_on_our_server(name, "serving", (), environment, workers), folder=folder)


def empty(workers: int = WORKERS) -> Service:
    """Return our server with an app that answers always the same."""
    return _on_our_server("empty", "benchmarks.serving.harness.reference_apps", ("empty",), {}, workers)


def naive(model_file: Path) -> Service:
    """Return our server with scikit-learn and shap in a view."""
    environment = {"NAIVE_MODEL": str(model_file)}
    return _on_our_server("naive", "benchmarks.serving.harness.reference_apps", ("naive",), environment, WORKERS)


def _on_our_server(
    name: str, module: str, arguments: tuple[str, ...], environment: dict[str, str], workers: int
) -> Service:
    port = free_port()
    given = {"HOST": "127.0.0.1", "PORT": str(port), "SERVER_WORKERS": str(workers), **environment}
    return Service(name, (sys.executable, "-m", module, *arguments), port, given)


def mlflow(model_file: Path, folder: Path) -> Service:
    """Return `mlflow models serve`; the model is saved in `folder` first."""
    saved, port = folder / "mlflow", free_port()
    environment = {**QUIET, "PATH": f"{BENCH_BIN}:{os.environ['PATH']}"}
    command = [BENCH_BIN / "python", PEERS, model_file, saved]
    subprocess.run(command, check=True, env={**os.environ, **environment}, capture_output=True)
    serve = (BENCH_BIN / "mlflow", "models", "serve", "-m", saved, "--env-manager", "local")
    return Service("mlflow", (*serve, "-h", "127.0.0.1", "-p", str(port), "-w", str(WORKERS)), port, environment)


def bentoml(model_file: Path) -> Service:
    """Return `bentoml serve`, with as many workers as the others."""
    port, environment = free_port(), {**QUIET, "PEER_MODEL": str(model_file)}
    command = (BENCH_BIN / "bentoml", "serve", "peers:Leads", "--host", "127.0.0.1", "--port", str(port))
    return Service("BentoML", (*command, "--working-dir", PEERS.parent), port, environment)
