"""Prints the first rows of an org's call list at the end of a start, with the commands that ask for them again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadscore.registry.store import Registry
from leadscore.settings import Settings, with_query
from standalone.api import OK, Api, problem_in

ROWS = 5
PATH, PREDICT = "/api/v1/leads", "/api/v1/predict"
FIRST_ORG = "default"
NOT_SCORED = "org_not_scored"
TRENDS = {"improving": "↗ improving", "steady": "→ steady", "declining": "↘ declining", "not_enough_history": "new"}

Entry = dict[str, Any]


@dataclass(frozen=True)
class CallList:
    """The first rows of an org's call list, as the API lists them, and of how many."""

    org_id: str
    scored_leads: int
    model_version: str | None
    entries: list[Entry]


def first_call_list(api: Api, settings: Settings) -> tuple[CallList | None, dict[str, str]]:
    """Return the call list of the first org that has leads on it, and why each org before it has none.

    The org `default` comes first. Raises CannotRun when the server does not answer.
    """
    reasons = dict[str, str]()
    for org_id in sorted(Registry(settings.model_path).orgs(), key=lambda org_id: org_id != FIRST_ORG):
        answer = api.get(with_query(PATH, org_id=org_id, limit=str(ROWS)))
        if answer.status == OK and answer.body["leads"]:
            body = answer.body
            return CallList(org_id, body["scored_leads"], body["model_version"], body["leads"]), reasons
        if answer.body.get("code") != NOT_SCORED:
            reasons[org_id] = "none of its open leads has a score" if answer.status == OK else problem_in(answer)
    return None, reasons


def print_call_list(console: Console, api: Api, shown: CallList) -> None:
    """Print the rows, the page in a browser, and the commands that list them again and score the first lead."""
    whole = f"{shown.scored_leads:,} open leads, scored by version {shown.model_version}"
    console.print(f"\nCall list of {shown.org_id}: the first of {whole}", style="bold", highlight=False)
    console.print(_table(shown.entries))
    for line in _commands(api, shown):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _commands(api: Api, shown: CallList) -> Iterator[str]:
    authorization = ' -H "Authorization: Bearer $TOKEN"' if api.is_guarded else ""
    again = with_query(f"{api.address}{PATH}", org_id=shown.org_id, limit=str(ROWS))
    yield f"All of it, in a browser: {api.address}/orgs/{quote(shown.org_id, safe='')}"
    yield f"The same rows, for a program:\ncurl -s{authorization} {shlex.quote(again)}"
    for entry in shown.entries[:1]:
        body = shlex.quote(json.dumps({"org_id": shown.org_id, "lead_id": entry["lead_id"]}))
        sent = f"-H 'Content-Type: application/json' -d {body}"
        yield f"The first lead, scored as it is now:\ncurl -s{authorization} {api.address}{PREDICT} {sent}"


def _table(entries: list[Entry]) -> Table:
    table = Table("rank", "lead", "probability", "grade", "trend", "first reason")
    for column in table.columns[:3:2]:
        column.justify = "right"
    for entry in entries:
        cells = (
            str(entry["rank"]),
            entry["lead_id"],
            f"{entry['conversion_probability']:.3f}",
            entry["grade"],
            TRENDS.get(entry["trend"], entry["trend"]),
            next(iter(entry["reasons"]), ""),
        )
        table.add_row(*map(Text, cells))  # an id may look like markup
    return table
