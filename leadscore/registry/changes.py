"""One small object of an object store that tells what changes: by it, a server need not ask for each org's pointer.

A writer announces a change before it makes it, so that no crash can leave a change unannounced. Who reads an
announcement looks at the file until it has the announced content, or until LOOK_SECONDS are over: then the writer did
not get that far.
"""

from __future__ import annotations

import random
import time
from typing import NamedTuple

import msgspec

from leadscore.errors import Overtaken, RegistryBusy
from leadscore.formats import FORMAT, decode_document
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.object_client import Found, ObjectClient

CHANGES_FILE = "changes.json"
# an announcement is 200 bytes; who missed more than these looks at every file again
MOST_CHANGES = 500
# longer than any request takes with all its repetitions
LOOK_SECONDS = 45.0
_PAUSE_SECONDS = 0.1


class Change(msgspec.Struct, frozen=True):
    """The `number`-th change: the file of this key is about to have the content of this hash."""

    number: int
    key: str
    sha256: str


class Changes(msgspec.Struct, frozen=True):
    """The latest changes, oldest first."""

    recent: tuple[Change, ...] = ()
    format: int = FORMAT

    @property
    def last(self) -> int:
        """The number of the latest change, 0 before the first."""
        return self.recent[-1].number if self.recent else 0

    def since(self, number: int) -> tuple[Change, ...] | None:
        """Return the changes after the `number`-th, None when some of them are not known any more."""
        if self.last < number or (self.recent and self.recent[0].number > number + 1):
            return None
        return tuple(change for change in self.recent if change.number > number)

    def with_one(self, key: str, content: bytes) -> Changes:
        """Return the changes with one more."""
        change = Change(self.last + 1, key, sha256_of(content))
        return Changes((*self.recent, change)[-MOST_CHANGES:])


class Read(NamedTuple):
    """The changes as they were read, and the stamp of their object."""

    changes: Changes
    stamp: object


def decode_changes(found: Found | None) -> Read:
    """Return the changes in their object. Raises Damaged."""
    if found is None:
        return Read(Changes(), None)
    return Read(decode_document(found.content, Changes, CHANGES_FILE, "delete it"), found.stamp)


def announce(client: ObjectClient, key: str, content: bytes, wait_seconds: float) -> None:
    """Tell whoever looks that the file is about to have this content, empty for none.

    Raises RegistryBusy when others announce without a pause, Damaged, RegistryUnavailable.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        changes, stamp = decode_changes(client.get(CHANGES_FILE))
        try:
            client.replace(CHANGES_FILE, msgspec.json.encode(changes.with_one(key, content)), stamp)
        except Overtaken:
            if time.monotonic() > deadline:
                raise RegistryBusy("other changes of the registry go on without a pause; try again") from None
            time.sleep(random.uniform(0, _PAUSE_SECONDS))
        else:
            return
