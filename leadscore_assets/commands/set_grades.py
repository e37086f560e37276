"""`python -m leadscore_assets.commands.set_grades ORG [--capacity LEADS]`: set how an org's leads are graded.

Without `--capacity`, the grades are cut at multiples of the org's base rate. The next scoring makes the cut points, and
they stay until the rule is set again.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence

from leadscore.errors import LeadscoreError, OrgNotFound
from leadscore.registry.ids import check_crm_org_id
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets.scoring.stored_scores import set_rule
from leadscore_assets.source.database import connect
from leadscore_assets.source.org_rows import has_rows

IN_WORDS = {
    "base_rate": "A from twice its base rate, B from its base rate, C from half of it",
    "capacity": "A for the best {capacity:,} new leads of a week, B for as many more, C for twice as many",
}


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Set the rule in the database of `settings`, the environment's unless given; return the exit code."""
    options = _parser().parse_args(arguments)
    rule = "base_rate" if options.capacity is None else "capacity"
    try:
        org_id = check_crm_org_id(options.org)
        settings = settings or read_settings()
        with connect(settings) as connection:
            if org_id not in Registry(settings.model_path).orgs() and not has_rows(connection, org_id):
                raise OrgNotFound(org_id)
            set_rule(connection, org_id, options.capacity, set_by=f"set_grades by {getpass.getuser()}")
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(f"The leads of org {org_id} are graded anew by the next scoring: {IN_WORDS[rule].format(**vars(options))}.")
    print("Dagster's sensor score_changed_orgs starts it within a minute.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leadscore_assets.commands.set_grades", description="Set how an org's leads are graded."
    )
    parser.add_argument("org", help="id of the org")
    parser.add_argument("--capacity", type=_capacity, metavar="LEADS", help="new leads that the org can call in a week")
    return parser


def _capacity(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of leads from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
