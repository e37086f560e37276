"""Removes an org from the registry: its versions with their reports, its pointer and its history.

A reader sees all of the org or nothing of it. If the removal is interrupted, the next one of the org goes on with it.
How is the matter of the place that holds the files: see `folder_storage` and `object_storage`.
"""

from __future__ import annotations

from leadscore.registry.store import Registry


def remove_org(registry: Registry, org_id: str) -> int:
    """Remove the org, and return how many versions it had; nothing happens to an org that is not there.

    Raises RegistryBusy while another process changes the org, RegistryUnavailable when files cannot be removed.
    """
    versions = len(registry.versions(org_id))
    registry.remove_everything(org_id)
    return versions
