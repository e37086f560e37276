"""Prints one scored lead after the start, with the command that scores it again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from leadscore.settings import Settings
from leadscore_assets.source.open_leads import Features, open_leads
from standalone.api import OK, Api, Body, problem_in

LEADS_SCORED = 500
PATH = "/api/v1/predict"


@dataclass(frozen=True)
class ScoredLead:
    """An open lead, and the server's answer when it scored the lead."""

    org_id: str
    lead_id: str
    features: Features
    score: Body


def score_best_lead(api: Api, settings: Settings, org_id: str) -> ScoredLead | str:
    """Return the org's open lead with the highest probability, or the reason why there is none."""
    leads = open_leads(settings, org_id, min(LEADS_SCORED, settings.max_batch_size))
    if not leads:
        return "it has no open lead"
    batch = [{"lead_id": lead_id, "features": features} for lead_id, features in leads.items()]
    scored = api.post(f"{PATH}/batch?contributions=false", {"org_id": org_id, "batch": batch})
    if scored.status != OK:
        return f"its {len(batch)} open leads were not scored: {problem_in(scored)}"
    best = max(scored.body["predictions"], key=lambda score: score.get("conversion_probability", -1.0))["lead_id"]
    answer = api.post(PATH, {"org_id": org_id, "features": leads[best]})
    if answer.status != OK:
        return f"lead {best} was not scored: {problem_in(answer)}"
    return ScoredLead(org_id, best, leads[best], answer.body)


def print_lead(console: Console, api: Api, lead: ScoredLead) -> None:
    """Print the lead's score, its contributions, and the curl command that scores it again."""
    body = lead.score
    console.print(
        f"\nLead {lead.lead_id} of {lead.org_id}, open now, scored by version {body['model_version']}:", highlight=False
    )
    console.print(
        f"probability {body['conversion_probability']:.3f}, confidence {body['confidence']:.2f}:"
        f" {body['recommended_action']}",
        style="bold",
        highlight=False,
    )
    table = Table()
    table.add_column("feature")
    table.add_column("value", justify="right")
    table.add_column("contribution", justify="right")
    table.add_row("(base value)", "", f"{body['base_value']:+.3f}", style="dim")
    for part in body["feature_contributions"]:
        value = "unknown" if part["value"] is None else f"{part['value']:,.6g}"
        table.add_row(part["feature"], value, f"{part['contribution']:+.3f}")
    console.print(table)
    request = json.dumps({"org_id": lead.org_id, "features": lead.features})
    console.print("Score this lead again:", style="bold")
    authorization = ' -H "Authorization: Bearer $TOKEN"' if api.is_guarded else ""
    console.print(
        f"curl -s {api.address}{PATH}{authorization} -H 'Content-Type: application/json' -d '{request}'",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
