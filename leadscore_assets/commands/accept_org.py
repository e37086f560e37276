"""`python -m leadscore_assets.commands.accept_org --org ORG --same | --new`: say whose an org's id is.

When the leads by which an org was known are gone, its id may have been given to another customer. `--same` says that it
was not: the version that was withdrawn is active again. `--new` says that it was: the former customer's versions are
set aside for good, and our tables forget its rows. `--all --same` accepts every org that has changed, as after a new
load of the CRM.

It exits with 0 when it is done, with 1 when it could not be; to repeat it is safe.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from leadscore.errors import InvalidInput, LeadscoreError, OrgNotFound
from leadscore.registry.activation import Reinstated, reinstate, withdraw
from leadscore.registry.ids import check_crm_org_id
from leadscore.registry.moves import set_aside
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore.tokens import Tokens
from leadscore_assets.changed_orgs import is_withdrawn, withdrawn_orgs
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.identities import changed_orgs, identities, is_changed, remember
from leadscore_assets.source.org_rows import counts_in_words, has_rows, remove_rows
from leadscore_assets.source.org_runs import check_no_run
from leadscore_assets.source.orgs import orgs

BY = "command accept_org"
SAME, NEW = "an operator said that it is the same customer", "an operator said that it is another customer"


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Accept the orgs that `arguments` (the process's own unless given) name; return the exit code."""
    chosen = _parsed(arguments)
    try:
        settings = settings or read_settings()
        registry = Registry(settings.model_path)
        with connect(settings) as connection:
            for line in _accepted(chosen, settings, registry, connection):
                print(line, flush=True)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def same(registry: Registry, connection: Connection, org_id: str) -> str:
    """Remember the org's present leads, make its withdrawn version active again, and return what was done."""
    registry.record_other_lead_ids()
    # the sensor would withdraw the version again before the leads are remembered
    remember(connection, [org_id])
    found = reinstate(registry, org_id, by=BY, reason=SAME)
    return f"Org {org_id} is the same customer{_in_words(found)}"


def new(settings: Settings, registry: Registry, connection: Connection, org_id: str) -> Iterator[str]:
    """Set the former customer's versions aside, forget its rows, and yield what was done.

    Raises AlreadyTraining while a run of the org is not ended, and NotInFolder.
    """
    registry.check_in_folder()
    tokens = Tokens(settings.tokens_path).of_org(org_id)
    check_no_run(connection, [org_id])
    # a crash in what follows must not leave the former customer's version active
    withdraw(registry, org_id, by=BY, reason=NEW, is_decision=True)
    versions = len(registry.versions(org_id))
    with connection.transaction():
        removed = remove_rows(connection, org_id)
        remember(connection, [org_id])
    aside = set_aside(registry, org_id)
    yield (
        f"Org {org_id} has a new customer. The former one's versions ({versions}) and their history are in {aside}, and"
        f" are never served again. Removed from our tables: {counts_in_words(removed)}."
    )
    yield from (
        f"Token {token.id} is for org {org_id}. If the former customer has it, run `python -m leadscore.tokens revoke"
        f" {token.id}`."
        for token in tokens
    )


def _accepted(
    chosen: argparse.Namespace, settings: Settings, registry: Registry, connection: Connection
) -> Iterator[str]:
    if chosen.all:
        changed = sorted({*changed_orgs(identities(connection), orgs(connection)), *withdrawn_orgs(registry)})
        undecided = [org_id for org_id in changed if not _has_new_customer(registry, org_id)]
        yield from (same(registry, connection, org_id) for org_id in undecided)
        yield f"{len(undecided)} orgs were accepted."
        for org_id in sorted(set(changed) - set(undecided)):
            yield f"Org {org_id} was not: it has a new customer. Run the command with --org {org_id} --new again."
        return
    org_id = check_crm_org_id(chosen.org)
    if org_id not in registry.orgs() and not has_rows(connection, org_id):
        raise OrgNotFound(org_id)
    if chosen.new:
        _check_changed(registry, connection, org_id, is_confirmed=chosen.yes)
        yield from new(settings, registry, connection, org_id)
    else:
        yield same(registry, connection, org_id)


def _has_new_customer(registry: Registry, org_id: str) -> bool:
    """Return whether an operator said so, and the command was interrupted then."""
    if not is_withdrawn(registry, org_id):
        return False
    withdrawal = registry.history(org_id).withdrawal
    return withdrawal is not None and withdrawal.reason == NEW


def _check_changed(registry: Registry, connection: Connection, org_id: str, *, is_confirmed: bool) -> None:
    """Raise InvalidInput when the CRM still has a lead by which the org is known, unless that was confirmed."""
    if is_confirmed or is_withdrawn(registry, org_id) or is_changed(connection, org_id):
        return
    raise InvalidInput(
        f"org {org_id} has not changed: its versions would be set aside for good, but the CRM has a lead by which the"
        " org is known, or no lead of it at all. Correct the id; if it has a new customer all the same, add --yes"
    )


def _in_words(found: Reinstated | None) -> str:
    if found is None:
        return ": its versions were not withdrawn, and its present leads are remembered."
    if found.version:
        return f": version {found.version} is active again."
    if found.problem:
        return f", but no version is active: {found.problem}"
    return ": it had no active version, and can be trained again."


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m leadscore_assets.commands.accept_org",
        description="Say whose an org's id is, once the leads by which the org was known are gone.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--org", help="the org's id")
    which.add_argument("--all", action="store_true", help="every org that has changed; with --same alone")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--same", action="store_true", help="the same customer: the withdrawn version is active again")
    whose.add_argument("--new", action="store_true", help="another customer: the former one's versions are set aside")
    parser.add_argument("--yes", action="store_true", help="with --new, also when the org has not changed")
    chosen = parser.parse_args(arguments)
    if chosen.all and chosen.new:
        parser.error("--all needs --same; name each org that has a new customer with --org")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
