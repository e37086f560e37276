"""The object that tells what changes: numbered, bounded, and complete or known to be not."""

from __future__ import annotations

import threading

import pytest

from leadscore.errors import Damaged, Overtaken, RegistryBusy
from leadscore.registry import changes as module
from leadscore.registry.changes import CHANGES_FILE, MOST_CHANGES, Changes, announce, decode_changes
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.object_client import Found, ObjectClient
from tests.object_store import FaultyStore


def test_changes_since_a_number_are_all_of_them_or_said_to_be_unknown() -> None:
    changes = Changes()
    assert changes.since(0) == ()
    for number in range(MOST_CHANGES + 10):
        changes = changes.with_one(f"org-{number}/active.json", b"")
    assert (changes.last, len(changes.recent)) == (MOST_CHANGES + 10, MOST_CHANGES)
    assert [change.number for change in changes.since(changes.last - 2)] == [changes.last - 1, changes.last]
    assert len(changes.since(10)) == MOST_CHANGES
    assert changes.since(9) is None
    # as after the object was deleted
    assert Changes().with_one("acme/active.json", b"").since(5) is None


def test_what_is_no_list_of_changes_is_damaged() -> None:
    assert decode_changes(None).changes.last == 0
    for content in (b"", b"{}", b'{"format": 6, "recent": 1}'):
        with pytest.raises(Damaged, match=CHANGES_FILE):
            decode_changes(Found(content, None, None))


def test_everything_that_many_announce_at_once_is_announced(object_store: FaultyStore) -> None:
    client = ObjectClient(object_store.new_url())
    works = [
        threading.Thread(target=announce, args=(client, f"org-{number}/active.json", b"x", 60.0)) for number in range(6)
    ]
    for work in works:
        work.start()
    for work in works:
        work.join(60)
    recent = decode_changes(client.get(CHANGES_FILE)).changes.recent
    assert [change.number for change in recent] == list(range(1, 7))
    assert {change.key for change in recent} == {f"org-{number}/active.json" for number in range(6)}
    assert {change.sha256 for change in recent} == {sha256_of(b"x")}


def test_who_is_always_overtaken_gives_up(object_store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*_: object) -> None:
        raise Overtaken("changes.json")

    monkeypatch.setattr(ObjectClient, "replace", overtaken)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    with pytest.raises(RegistryBusy, match="without a pause"):
        announce(ObjectClient(object_store.new_url()), "acme/active.json", b"", 0.2)
