"""The timeline tells each judgement and each act once, the newest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from leadscore.registry.activation import roll_back, withdraw
from leadscore.registry.old_versions import Keep, remove_old_versions
from serving.pages.timeline import Event, timeline


def events(shelf: Any, org_id: str = "acme") -> list[Event]:
    registry = shelf.registry
    return timeline(registry, org_id, registry.history(org_id), registry.versions(org_id))


def test_each_version_and_each_act_is_told_once(shelf: Any) -> None:
    first = shelf.activated("acme")
    second = shelf.activated("acme")
    held = shelf.judged("acme", "hold")
    published = shelf.publish("acme")
    roll_back(shelf.registry, "acme", first, by="token 1, api request 2", reason="it ranks worse")
    told = {(event.title, event.tone): event for event in events(shelf)}
    assert told.keys() == {
        (f"Version {first} became active", "activate"),
        (f"Version {first} became active by a rollback", "activate"),
        (f"Version {second} became active", "activate"),
        (f"Version {held} was held", "hold"),
        (f"Version {published} was trained", ""),
    }
    trained = "Trained and judged on 200 leads, 80 of them converted."
    assert told[f"Version {second} became active", "activate"].details == [
        trained,
        "The reason to activate. A remedy.",
    ]
    assert told[f"Version {held} was held", "hold"].details == [trained, "The reason to hold. A remedy."]
    assert told[f"Version {published} was trained", ""].details == [trained]
    everything = events(shelf)
    assert len(everything) == 5
    assert everything == sorted(everything, key=lambda event: event.at, reverse=True)
    assert told[f"Version {first} became active", "activate"].details[0] == trained
    newest = everything[0]
    assert (newest.title, newest.details, newest.by) == (
        f"Version {first} became active by a rollback",
        ["it ranks worse"],
        "token 1, api request 2",
    )


def test_a_version_that_was_old_is_told_without_its_report(shelf: Any) -> None:
    versions = [shelf.publish("acme") for _ in range(3)]
    for version in versions:
        judgement = msgspec.structs.replace(shelf.registry.judgement("acme", shelf.judged("acme")), files={})
        shelf.registry.record_judgement("acme", version, judgement, {"report.html": b"<!DOCTYPE html>"})
    shelf.activated("acme")
    assert {event.version for event in events(shelf) if event.has_report} == set(versions)
    remove_old_versions(shelf.registry, "acme", Keep(1, 30), datetime.now(UTC) + timedelta(days=400), by="a test")
    told = events(shelf)
    assert set(versions) < {event.version for event in told}
    assert not any(event.has_report for event in told)


def test_a_withdrawal_is_told_with_its_reason(shelf: Any) -> None:
    version = shelf.activated("acme")
    withdraw(shelf.registry, "acme", by="a sensor", reason="its leads are gone")
    assert events(shelf)[0][1:5] == (f"Version {version} was withdrawn", "refuse", ["its leads are gone"], "a sensor")


def test_a_version_that_passed_but_was_never_active_is_told_as_passed(shelf: Any) -> None:
    version = shelf.judged("acme", "activate")
    [event] = events(shelf)
    assert (event.title, event.tone) == (f"Version {version} passed the gate", "activate")


def test_a_damaged_version_is_told_and_hides_no_other(shelf: Any) -> None:
    sound, damaged = shelf.judged("acme", "hold"), shelf.judged("acme", "hold")
    (shelf.folder(damaged, "acme") / "manifest.json").write_bytes(b"{")
    titles = [event.title for event in events(shelf)]
    assert set(titles) == {f"Version {damaged} cannot be read", f"Version {sound} was held"}


def test_without_versions_there_is_nothing_to_tell(shelf: Any) -> None:
    assert events(shelf) == []
