"""`python -m leadscore_assets.commands.rename_org --from OLD --to NEW`: an org of the CRM has another id now.

Its versions and their history, and its rows in our tables, move to the new id. No file of a version changes. It exits
with 0 when it is done, with 1 when it could not be; to repeat it is safe, and finishes what was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from leadscore.errors import LeadscoreError, OrgNotFound
from leadscore.registry.ids import check_crm_org_id
from leadscore.registry.moves import is_renamed, rename
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore.tokens import Tokens
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.org_rows import counts_in_words, has_rows, move_rows
from leadscore_assets.source.org_runs import check_no_run


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Rename the org that `arguments` (the process's own unless given) name; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m leadscore_assets.commands.rename_org",
        description="Move an org's versions, their history and our rows to the id that the CRM gives the org now.",
    )
    parser.add_argument("--from", required=True, dest="org", metavar="OLD", help="the id that the org had")
    parser.add_argument("--to", required=True, dest="new", metavar="NEW", help="the id that the org has now")
    chosen = parser.parse_args(arguments)
    try:
        settings = settings or read_settings()
        with connect(settings) as connection:
            for line in renamed(settings, Registry(settings.model_path), connection, chosen.org, chosen.new):
                print(line, flush=True)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def renamed(settings: Settings, registry: Registry, connection: Connection, org_id: str, new_id: str) -> Iterator[str]:
    """Move everything of the org to its new id, and yield what was done and what is left to do.

    Raises AlreadyTraining while a run of either org is not ended, OrgHasVersions, OrgNotFound, InvalidId, InvalidInput.
    """
    for name in (org_id, new_id):
        check_crm_org_id(name)
    tokens = Tokens(settings.tokens_path).of_org(org_id)
    check_no_run(connection, [org_id, new_id])
    is_known = org_id in registry.orgs() or has_rows(connection, org_id)
    if not is_known and not is_renamed(registry, org_id, new_id):
        raise OrgNotFound(org_id)
    has_moved = rename(registry, org_id, new_id)
    # an SQL of the records may make the org's id a part of its leads'
    registry.record_other_lead_ids()
    moved = move_rows(connection, org_id, new_id)
    versions = _versions(registry, new_id) if has_moved else "no version, since they were moved before"
    yield f"Org {org_id} is now {new_id}. Moved: {versions}; in our tables {counts_in_words(moved)}."
    yield from (
        f"Token {token.id} is for org {org_id}, and not for {new_id}. Make one for {new_id}, then run"
        f" `python -m leadscore.tokens revoke {token.id}`."
        for token in tokens
    )
    yield (
        f"Dagster adds the partition {new_id} within 60 s once the CRM has its leads; runs and events from before stay"
        f" under {org_id}. Links in reports from before name {org_id}."
    )


def _versions(registry: Registry, org_id: str) -> str:
    count = len(registry.versions(org_id))
    return "1 version with its history" if count == 1 else f"{count} versions with their history"


if __name__ == "__main__":
    sys.exit(main())
