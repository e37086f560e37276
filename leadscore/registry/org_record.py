"""What an org's folder says of the org itself: its former ids, and since when its id belongs to its present customer.

The file `org.json` is there only for an org that was renamed, or whose id was given to a new customer, and for the
pooled model once leads may have got other ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from leadscore.formats import FORMAT, decode_document

ORG_FILE = "org.json"

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class FormerId(msgspec.Struct, frozen=True):
    """An id that the org had until it was renamed, and the versions that were trained under it."""

    org_id: str
    until: Moment
    versions: tuple[str, ...]
    since: Moment | None = None


class OrgRecord(msgspec.Struct, frozen=True):
    """The org's former ids, oldest first; `customer_since` is None while the id never belonged to another customer.

    `lead_ids_since` is recorded of the pooled model alone: when leads of some org may have got other ids last, and with
    them another side of the split. A pooled version from before may know leads that are held out now.
    """

    former_ids: tuple[FormerId, ...] = ()
    customer_since: Moment | None = None
    format: int = FORMAT
    lead_ids_since: Moment | None = None

    def trained_as(self, version: str) -> tuple[str, ...]:
        """Return the former ids under which the version was trained."""
        return tuple(former.org_id for former in self.former_ids if version in former.versions)

    def ids_at(self, org_id: str, moment: datetime) -> Iterator[str]:
        """Yield the ids under which data of `moment` may have the org, its present id `org_id` first."""
        if self.customer_since is None or moment >= self.customer_since:
            yield org_id
        for former in reversed(self.former_ids):
            if moment <= former.until and (former.since is None or moment >= former.since):
                yield former.org_id

    def renamed(
        self, org_id: str, versions: Sequence[str], now: datetime, customer_since: datetime | None
    ) -> OrgRecord:
        """Return the record of the org once its id is no longer `org_id`, and that it has `versions`.

        `customer_since` is that of the new id. A rename that was begun before is begun anew.
        """
        begun = next((former for former in self.former_ids if former.org_id == org_id), None)
        others = tuple(former for former in self.former_ids if former is not begun)
        known = {version for former in others for version in former.versions}
        under_this_id = tuple(sorted(version for version in versions if version not in known))
        since = begun.since if begun else self.customer_since
        return OrgRecord((*others, FormerId(org_id, now, under_this_id, since)), customer_since)


def encode_org_record(record: OrgRecord) -> bytes:
    """Return the content of the file of `record`."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_org_record(content: bytes | None) -> OrgRecord:
    """Return the record in the content of its file, an empty one when there is none. Raises Damaged."""
    if content is None:
        return OrgRecord()
    return decode_document(content, OrgRecord, ORG_FILE, "restore it from a backup")
