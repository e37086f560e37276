"""The ids of orgs and versions: their rules, the name of an org's folder, and the next version's id."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from leadscore.errors import InvalidId
from leadscore.pooling import POOLED

# 80 characters, each of which may take three in a folder's name, whose most is 255; `$` alone takes a last line end
CRM_ORG_ID_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.@:-]{0,79}$(?!\n)"
ORG_ID_PATTERN = rf"^{POOLED}$(?!\n)|{CRM_ORG_ID_PATTERN}"
VERSION_ID_PATTERN = r"^[0-9]{14}$(?!\n)"
_VERSION_FORMAT = "%Y%m%d%H%M%S"


def check_org_id(org_id: object) -> str:
    """Return `org_id` when it is an org id or the pooled model's id. Raises InvalidId."""
    return POOLED if org_id == POOLED else check_crm_org_id(org_id)


def check_crm_org_id(org_id: object) -> str:
    """Return `org_id` when it is an org id. Raises InvalidId, whose text has the rule but not the value."""
    if not isinstance(org_id, str) or not re.search(CRM_ORG_ID_PATTERN, org_id):
        raise InvalidId(
            "an org id must have 1 to 80 characters: letters, digits and, after the first character, also _ . @ : -,"
            " but not two dots in a row"
        )
    return org_id


def check_version_id(version: object) -> str:
    """Return `version` when it is a version id. Raises InvalidId, whose text has the rule but not the value."""
    if not isinstance(version, str) or not is_version_id(version):
        raise InvalidId("a version id must be 14 digits, YYYYMMDDHHMMSS")
    return version


def is_version_id(name: str) -> bool:
    """Return whether `name` is a version id: 14 digits."""
    return re.search(VERSION_ID_PATTERN, name) is not None


def next_version_id(existing: list[str], now: datetime) -> str:
    """Return an id that is the time `now`, or one second after the newest existing id when that is not older.

    Existing names that are not times are ignored.
    """
    taken = [taken_at for taken_at in map(_version_time, existing) if taken_at]
    now = now.astimezone(UTC).replace(microsecond=0)
    return max([now, *(taken_at + timedelta(seconds=1) for taken_at in taken)]).strftime(_VERSION_FORMAT)


def _version_time(version: str) -> datetime | None:
    try:
        moment = datetime.strptime(version, _VERSION_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    # a second later must be a time, too
    return moment if moment.year < datetime.max.year else None


def folder_name(org_id: str) -> str:
    """Return the name of an org's folder: its id, percent-encoded where it is not a letter, a digit, _ or -."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"%{ord(found[0]):02X}", org_id)


def is_org_folder(name: str) -> bool:
    """Return whether an org's folder has this name."""
    org_id = unquote(name)
    return re.search(CRM_ORG_ID_PATTERN, org_id) is not None and folder_name(org_id) == name
