"""`python -m leadscore_assets.commands.erase --org ORG [--lead LEAD ...] [--models]`: erase what we hold of them.

It says what went from which table, and where else something of it may be. It exits with 0 when it is done, also when
nothing was held, and with 1 when it could not be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from leadscore.errors import Conflict, InvalidInput, LeadscoreError
from leadscore.pooling import POOLED
from leadscore.registry.ids import check_org_id
from leadscore.registry.removal import remove_org
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets.retention.absent_leads import leads_in_crm
from leadscore_assets.retention.erasure import erase_at_once
from leadscore_assets.source.control_plane import check_same_registry
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.identities import identities, is_changed, remember_gone
from leadscore_assets.source.org_runs import runs_under_way

# a training may hold the org's lock while it writes a version
LOCK_WAIT_SECONDS = 60.0

ELSEWHERE = (
    "Backups that were saved before still have it: delete them, or erase again after a restore.",
    "Logs and metrics, and Dagster's event log, have no lead's id; they name orgs and runs.",
)
OF_AN_ORG = (
    "In Dagster, the org's partition, runs and events stay until you delete them there; they hold figures alone."
)
OF_MODELS = (
    "The server answers 404 `no_active_model` for the org from now on, unless the pooled model scores its leads.",
    "Versions of the pooled model keep the org's id and its rows without ids of leads, until you erase them:"
    f" --org {POOLED} --models.",
)


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Erase what `arguments` (the process's own unless given) name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        erase(settings or read_settings(), chosen)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def erase(settings: Settings, chosen: argparse.Namespace) -> None:
    """Erase what was chosen, and say what went. Raises LeadscoreError; what was said to be removed is gone then."""
    org_id, lead_ids = check_org_id(chosen.org), list(dict.fromkeys(chosen.lead))
    if lead_ids and chosen.models:
        raise InvalidInput("--models removes the models of a whole org; leave out --lead, or --models")
    registry = Registry(settings.model_path, wait_seconds=LOCK_WAIT_SECONDS)
    with connect(settings) as connection:
        _check_no_run(connection, org_id)
        if chosen.models:
            check_same_registry(settings, registry)
            _confirm(registry, org_id, is_confirmed=chosen.yes)
        was_changed = _was_changed(connection, org_id)
        _erase_rows(connection, org_id, lead_ids)
        kept = 0 if chosen.models else len(registry.versions(org_id))
        if chosen.models:
            _say(_removed(registry, org_id))
        elif kept:
            _keep_known(connection, org_id, was_changed=was_changed)
        if kept and not lead_ids:
            _say(
                f"kept {_count(kept, 'version')} in the registry, without any lead's id; --models removes what is there"
            )
        _say(*_elsewhere(chosen), *_still_in_crm(connection, org_id, lead_ids))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leadscore_assets.commands.erase", description="Erase an org, or some of its leads, at once."
    )
    parser.add_argument("--org", required=True, metavar="ORG", help="the org's id")
    parser.add_argument("--lead", nargs="+", action="extend", default=[], metavar="LEAD", help="ids of its leads alone")
    parser.add_argument("--models", action="store_true", help="also the org's versions, reports, pointer and history")
    parser.add_argument("--yes", action="store_true", help="do not ask before --models removes anything")
    return parser


def _check_no_run(connection: Connection, org_id: str) -> None:
    """Raise Conflict while a run goes on that may have read what is to be erased, and would store it again."""
    runs = runs_under_way(connection, {org_id, POOLED})
    if runs:
        raise Conflict(
            f"nothing is erased: a run of {org_id} or of the pooled model is under way ({', '.join(runs)}), and would"
            " store again what it has read. Wait until it has ended, or stop it in Dagster, then erase again"
        )


def _confirm(registry: Registry, org_id: str, *, is_confirmed: bool) -> None:
    if is_confirmed:
        return
    models = f"{_count(len(registry.versions(org_id)), 'version')} of {org_id}, with reports and history"
    if not sys.stdin.isatty():
        raise InvalidInput(
            "nothing was erased: --models needs a confirmation, and there is no terminal to ask on. To remove"
            f" {models}, repeat the command with --yes"
        )
    if input(f"Remove {models}? This cannot be undone. Enter the org's id to go on: ").strip() != org_id:
        raise InvalidInput(f"nothing was erased: what was entered is not the org's id, {org_id}")


def _erase_rows(connection: Connection, org_id: str, lead_ids: Sequence[str]) -> None:
    erased = [f"removed {table}" for table in erase_at_once(connection, org_id, lead_ids) if table.rows]
    of_leads = f"{_count(len(lead_ids), 'lead')} of " if lead_ids else ""
    _say(*(erased or [f"nothing held of {of_leads}{org_id} in our tables"]))


def _was_changed(connection: Connection, org_id: str) -> bool:
    """Return whether the org's id may be another customer's; False where the CRM cannot be seen, as is said later."""
    try:
        return is_changed(connection, org_id)
    except LeadscoreError:
        return False


def _keep_known(connection: Connection, org_id: str, *, was_changed: bool) -> None:
    """Let a later customer of the org's id be noticed, or the present one, because the org's versions stay."""
    try:
        is_unknown = not identities(connection, [org_id]) and not leads_in_crm(connection, org_id, ())
    except LeadscoreError:  # the CRM cannot be seen, as is said later
        is_unknown = False
    if was_changed or is_unknown:
        remember_gone(connection, org_id)


def _removed(registry: Registry, org_id: str) -> str:
    has_pointer = registry.pointer_stamp(org_id) is not None
    versions = remove_org(registry, org_id)
    if not versions and not has_pointer:
        return f"nothing held of {org_id} in the registry"
    return f"removed {_count(versions, 'version')}, the reports, the pointer and the history from the registry"


def _elsewhere(chosen: argparse.Namespace) -> Iterator[str]:
    yield from ELSEWHERE
    if not chosen.lead:
        yield OF_AN_ORG
    if chosen.models:
        yield from OF_MODELS


def _still_in_crm(connection: Connection, org_id: str, lead_ids: Sequence[str]) -> Iterator[str]:
    """Yield a warning when the CRM has what was erased, or when that cannot be seen: the erasure itself is done."""
    try:
        count = leads_in_crm(connection, org_id, lead_ids)
    except LeadscoreError as error:
        yield f"Whether the CRM still has it could not be seen: {error.message}"
        return
    if count:
        has = f"The CRM still has {_count(count, 'lead')} of {org_id}"
        yield f"{has}: the next training and scoring store again what they find there. Delete it there, too."


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
