"""A server that answers by script, and answers for its scripts."""

from __future__ import annotations

from typing import Any

from leadscore.errors import CannotRun
from standalone.api import Answer, Api, Body

SUCCESS = Answer(
    200,
    {
        "status": "success",
        "activated": True,
        "version": "V",
        "reasons": [],
        "metrics": {"roc_auc": 0.7249},
        "training_data_size": 2730,
    },
)
ENTRY: Body = {
    "lead_id": "lead 0",
    "rank": 1,
    "grade": "A",
    "trend": "improving",
    "conversion_probability": 0.76,
    "reasons": ["2 appointments booked: +26 points", "answered after 53 minutes: +11 points"],
}
CALL_LIST = Answer(200, {"leads": [ENTRY], "scored_leads": 812, "model_version": "V"})


class ScriptedApi(Api):
    """A server that answers each request with the next line of a script, and remembers what it was asked."""

    def __init__(self, *script: Answer) -> None:
        super().__init__("http://scripted")
        self.script = list(script)
        self.asked: list[str] = []
        self.bodies: list[Body] = []

    def _ask(self, method: str, path: str, **content: Any) -> Answer:
        self.asked.append(f"{method} {path.removeprefix('/api/v1')}")
        self.bodies.append(content.get("json", {}))
        if not self.script:
            raise CannotRun("the script is over")
        return self.script.pop(0)
