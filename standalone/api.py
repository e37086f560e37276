"""The HTTP API as its first caller uses it: training the orgs that need it, and scoring one real lead."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import urllib3

from leadscore.errors import CannotRun

OK = 200
AT_A_TIME = 2
POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 30.0

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status, and its JSON object."""

    status: int
    body: Body


class Api:
    """The server at `address`, such as http://127.0.0.1:5000."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> Answer:
        """Return the answer to GET. Raises CannotRun when there is none."""
        return self._ask("GET", path)

    def post(self, path: str, body: Body) -> Answer:
        """Return the answer to POST of a JSON object. Raises CannotRun when there is none."""
        return self._ask("POST", path, json=body)

    def is_ready(self) -> bool:
        """Return whether the server answers, and reaches the database and Dagster."""
        try:
            return self.get("/health/ready").status == OK and self.get("/health").body.get("status") == "healthy"
        except CannotRun:
            return False

    def _ask(self, method: str, path: str, **content: Any) -> Answer:
        try:
            response = self._pool.request(method, self.address + path, **content)
            return Answer(response.status, json.loads(response.data))
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise CannotRun(f"The HTTP server at {self.address} gave no answer to {method} {path}: {error}") from None


def train(api: Api, org_ids: Iterable[str], ended: Callable[[str, str], None], watch: Callable[[], None]) -> None:
    """Train the orgs, two at a time; call `ended(org_id, outcome in words)` for each, and `watch()` in between."""
    waiting, running = deque(org_ids), dict[str, str]()
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            org_id = waiting.popleft()
            answer = api.post("/api/v1/model/train?wait=0", {"org_id": org_id})
            _note(org_id, answer, running, ended)
        watch()
        time.sleep(POLL_SECONDS)
        for org_id, run_id in list(running.items()):
            _note(org_id, api.get(f"/api/v1/model/train/{run_id}"), running, ended)


def _note(org_id: str, answer: Answer, running: dict[str, str], ended: Callable[[str, str], None]) -> None:
    if answer.body.get("status") == "running":
        running[org_id] = str(answer.body["run_id"])
    else:
        running.pop(org_id, None)
        ended(org_id, in_words(answer))


def in_words(answer: Answer) -> str:
    """Return what became of a training, from the API's answer about it."""
    body = answer.body
    if body.get("status") == "success":
        what = "activated" if body["activated"] else "held"
        auc = f"ROC-AUC {body['metrics']['roc_auc']:.2f} on {body['training_data_size']:,} records"
        reasons = "" if body["activated"] else f": {'; '.join(body['reasons'])}"
        return f"{what} {body['version']}, {auc}{reasons}"
    if body.get("status") == "insufficient_data":
        return f"insufficient data: {body['message']}"
    return f"failed: {body.get('detail') or body.get('error') or f'HTTP {answer.status}'}"
