"""A client of the HTTP API, which trains orgs and lists leads after the start."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import urllib3

from leadscore.errors import CannotRun
from leadscore.run_tags import START_AGENT
from leadscore.settings import Settings
from leadscore.tokens import EVERY_ORG, Tokens
from standalone.screen import Mark

OK = 200
AT_A_TIME = 2
POLL_SECONDS = 0.5
# longer than the server itself waits for Dagster, whose first launch takes a while
TIMEOUT_SECONDS = 120.0
TRAINING_SECONDS = 900.0
# codes after which the training's outcome is still open, so that it is asked for again
UNDECIDED = {"already_training", "dagster_unavailable", "run_not_found", "too_many_trainings"}

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status, and its JSON object."""

    status: int
    body: Body


class Api:
    """The server at `address`, such as http://127.0.0.1:5000, asked with `token` where it asks for one."""

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address, self.is_guarded = address, token is not None
        self._headers = {"User-Agent": START_AGENT, **({"Authorization": f"Bearer {token}"} if token else {})}
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> Answer:
        """Return the answer to GET. Raises CannotRun when the server does not answer."""
        return self._ask("GET", path)

    def post(self, path: str, body: Body) -> Answer:
        """Return the answer to POST of a JSON object. Raises CannotRun when the server does not answer."""
        return self._ask("POST", path, json=body)

    def is_ready(self) -> bool:
        """Return whether the server answers, and reaches the database and Dagster."""
        try:
            return self.get("/health/ready").status == OK and self.get("/health").body.get("status") == "healthy"
        except CannotRun:
            return False

    def _ask(self, method: str, path: str, **content: Any) -> Answer:
        try:
            response = self._pool.request(method, self.address + path, headers=self._headers, **content)
            return Answer(response.status, json.loads(response.data))
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise CannotRun(
                f"The HTTP server at {self.address} did not answer {method} {path}: {error}. Read its log."
            ) from None


@contextmanager
def token_of_a_start(settings: Settings) -> Iterator[str | None]:
    """Yield a token for the calls of a start, which ends with it; None for a server that asks for none."""
    tokens = Tokens(settings.tokens_path)
    if settings.auth == "OFF" or not tokens.are_configured:
        yield None
        return
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # for a start that is killed
    text, token = tokens.new(scopes=("read", "train"), orgs=(EVERY_ORG,), expires_at=tomorrow, note="a start")
    try:
        yield text
    finally:
        tokens.revoke(token.id)


class Outcome(NamedTuple):
    """How a training ended, in words, and the mark that stands before them."""

    mark: Mark
    words: str


class Training:
    """The training of one org, from the request that starts it to its outcome."""

    def __init__(self, org_id: str) -> None:
        self.org_id = org_id
        self._run_id: str | None = None
        self._deadline = time.monotonic() + TRAINING_SECONDS

    def ask(self, api: Api) -> Outcome | None:
        """Start the training or ask for its outcome; return it, or None while it runs."""
        if self._run_id:
            answer = api.get(f"/api/v1/model/train/{self._run_id}")
        else:
            answer = api.post("/api/v1/model/train?wait=0", {"org_id": self.org_id})
        status, code = answer.body.get("status"), answer.body.get("code")
        if status != "running" and code not in UNDECIDED:
            return outcome_of(answer)
        # a refusal may name a run that another client started; if that is not a training, it is not found
        self._run_id = None if code == "run_not_found" else self._run_id or answer.body.get("run_id")
        if time.monotonic() > self._deadline:
            late = f"not trained within {TRAINING_SECONDS / 60:g} minutes ({_state(answer)})"
            return Outcome(Mark.FAILED, f"{late}; look at its run in Dagster")
        return None


def train_orgs(
    api: Api, org_ids: Iterable[str], ended: Callable[[str, Outcome], None], watch: Callable[[], None]
) -> None:
    """Train the orgs, two at a time. Call `ended(org_id, outcome)` for each, and `watch()` between polls."""
    waiting, begun = deque(org_ids), list[Training]()
    while waiting or begun:
        while waiting and len(begun) < AT_A_TIME:
            begun.append(Training(waiting.popleft()))
        for training in list(begun):
            if outcome := training.ask(api):
                begun.remove(training)
                ended(training.org_id, outcome)
        watch()
        time.sleep(POLL_SECONDS)


def outcome_of(answer: Answer) -> Outcome:
    """Return the outcome of a training from the API's answer."""
    body = answer.body
    if body.get("status") == "success":
        auc = f"{body['version']}, ROC-AUC {body['metrics']['roc_auc']:.2f} on {body['training_data_size']:,} records"
        if body["activated"]:
            return Outcome(Mark.DONE, f"activated {auc}")
        return Outcome(Mark.KEPT, f"held {auc}: {' '.join(body['reasons'])}")
    if body.get("status") == "insufficient_data":
        return Outcome(Mark.REFUSED, f"not trained: {body['message']}")
    return Outcome(Mark.FAILED, f"failed: {problem_in(answer)}")


def _state(answer: Answer) -> str:
    return "it still runs" if answer.body.get("status") == "running" else problem_in(answer)


def problem_in(answer: Answer) -> str:
    """Return the problem that an answer describes."""
    return str(answer.body.get("detail") or answer.body.get("error") or f"HTTP {answer.status}")
