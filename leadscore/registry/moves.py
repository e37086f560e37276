"""Moves an org's folder as a whole: to another id when the org was renamed, aside when its id has a new customer.

A version's files never change, so the record of a renamed org says under which id its versions were trained. A folder
is moved by one rename, under its lock; repeating an act that was interrupted finishes it.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from leadscore.errors import InvalidInput, OrgHasVersions
from leadscore.registry.durable_files import PARTIAL_PREFIX, replace_durably, sync_folder
from leadscore.registry.folder_storage import FORMER_FOLDER
from leadscore.registry.ids import check_crm_org_id, folder_name
from leadscore.registry.org_lock import LOCK_FILE
from leadscore.registry.org_record import ORG_FILE, OrgRecord, encode_org_record
from leadscore.registry.store import HISTORY_FILE, POINTER_FILE, Registry


def rename(registry: Registry, org_id: str, new_id: str) -> bool:
    """Give the org another id, with its versions and history; return False when that was done before.

    Raises OrgHasVersions when `new_id` has some already, InvalidId, InvalidInput when both ids are the same,
    RegistryBusy, RegistryUnavailable or NotInFolder.
    """
    registry.check_in_folder()
    for name in (org_id, new_id):
        check_crm_org_id(name)
    if org_id == new_id:
        raise InvalidInput(f"org {org_id} has this id already; name another id with --to")
    if is_renamed(registry, org_id, new_id):
        return False
    folder, target = (registry.root / folder_name(name) for name in (org_id, new_id))
    with registry.exclusive(org_id), registry.exclusive(new_id):
        if registry.versions(new_id) or _has_history(target):
            raise OrgHasVersions(new_id)
        present = registry.org_record(org_id)
        is_begun = any(former.org_id == org_id for former in present.former_ids)
        customer_since = (present if is_begun else registry.org_record(new_id)).customer_since
        record = present.renamed(org_id, registry.versions(org_id), datetime.now(UTC), customer_since)
        replace_durably({folder / ORG_FILE: encode_org_record(record)})
        for partial in target.glob(f"{PARTIAL_PREFIX}*"):  # what a training left that was killed as it published
            shutil.rmtree(partial)
        for name in (ORG_FILE, LOCK_FILE):
            (target / name).unlink(missing_ok=True)
        folder.rename(target)
        sync_folder(registry.root)
        return True


def is_renamed(registry: Registry, org_id: str, new_id: str) -> bool:
    """Return whether the folder of `new_id` is the one that `org_id` had."""
    former_ids = registry.org_record(new_id).former_ids
    return any(former.org_id == org_id for former in former_ids) and not registry.versions(org_id)


def set_aside(registry: Registry, org_id: str) -> Path:
    """Move the org's folder aside, so that its versions are never served again; return where it is now.

    The id then is that of a new customer, without versions or history. Raises RegistryBusy, RegistryUnavailable or
    NotInFolder.
    """
    now, folder = datetime.now(UTC), registry.root / folder_name(check_crm_org_id(org_id))
    with registry.exclusive(org_id):
        aside = registry.root / FORMER_FOLDER / f"{folder.name}-{now:%Y%m%dT%H%M%S%fZ}"
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        folder.rename(aside)
        sync_folder(aside.parent)
        sync_folder(registry.root)
    with registry.exclusive(org_id):
        replace_durably({folder / ORG_FILE: encode_org_record(OrgRecord(customer_since=now))})
    return aside


def _has_history(folder: Path) -> bool:
    return any((folder / name).exists() for name in (POINTER_FILE, HISTORY_FILE))
