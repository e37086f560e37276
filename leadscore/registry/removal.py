"""Removes an org from the registry: its versions with their reports, its pointer and its history.

One rename sets the org's folder aside, so a reader sees all of the org or nothing of it. What is set aside is then
deleted. If that is interrupted, the next removal of the org goes on with it.
"""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from leadscore.errors import RegistryUnavailable
from leadscore.registry.durable_files import PARTIAL_PREFIX, sync_folder
from leadscore.registry.ids import check_org_id, folder_name
from leadscore.registry.moves import FORMER_FOLDER
from leadscore.registry.store import Registry


def remove_org(registry: Registry, org_id: str) -> int:
    """Remove the org, and return how many versions it had; nothing happens to an org that is not there.

    Raises RegistryBusy while another process changes the org, RegistryUnavailable when files cannot be removed.
    """
    folder = registry.root / folder_name(check_org_id(org_id))
    set_aside = f"{PARTIAL_PREFIX}removed-{folder.name}-"
    versions = 0
    if folder.is_symlink():
        raise RegistryUnavailable(f"{folder} is a link, which is not followed; remove it and what it leads to by hand")
    if folder.is_dir():
        with registry.exclusive(org_id):
            versions = len(registry.versions(org_id))
            folder.rename(registry.root / f"{set_aside}{secrets.token_hex(4)}")
            sync_folder(registry.root)
    for left in [*registry.root.glob(f"{set_aside}*"), *_of_former_customers(registry, folder.name)]:
        _delete(left)
    return versions


def _of_former_customers(registry: Registry, name: str) -> list[Path]:
    """Return the folders that were set aside when the org's id was given to another customer."""
    return [
        folder
        for folder in (registry.root / FORMER_FOLDER).glob(f"{name}-*")
        if re.fullmatch(r"\d{8}T\d{12}Z", folder.name.removeprefix(f"{name}-"))
    ]


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise RegistryUnavailable(
            f"{folder} cannot be deleted ({error.strerror or error}), although nothing reads it any more; let this user"
            " write there, and remove the org again"
        ) from error
