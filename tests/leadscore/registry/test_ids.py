"""Ids of orgs and versions: what may be one, which folder an org has, and which id a new version gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from leadscore.errors import InvalidId
from leadscore.registry.ids import check_org_id, check_version_id, next_version_id
from leadscore.registry.store import Registry

Publish = Callable[..., str]

TRAVERSALS = ["../../etc", "..", "a/../b", "%2e%2e%2f", "..%252f", "\\..\\..\\x", "file:///etc", "a#/../x", "a..b", "."]
ABSOLUTE = ["/etc/passwd", "C:\\x", "//host/share"]
CONTROLS = ["a\0b", "a\nb", "a\n", "a\tb", "\x1b[31m", "\u202egro"]
UNICODE = ["\uff0e\uff0e\uff0f", "caf\u00e9", "cafe\u0301", "\u0430cme", "\ud800", "\U0001f600", "\u0661"]
SHAPES = ["", " ", "aux ", "a b", ".hidden", "-rf", "_x", "@x", "x" * 81, "x" * 300, "a,b", "a%2Eb", "a*"]
TYPES = [123, True, None, [], {}, b"acme", 1.5]


@pytest.mark.parametrize("org_id", [*TRAVERSALS, *ABSOLUTE, *CONTROLS, *UNICODE, *SHAPES, *TYPES], ids=ascii)
def test_what_is_no_org_id_is_refused_everywhere_and_touches_nothing(org_id: str, registry: Registry) -> None:
    for call in (check_org_id, registry.versions, registry.active, registry.history, registry.pointer_stamp):
        with pytest.raises(InvalidId, match="an org id must have 1 to 80 characters") as caught:
            call(org_id)
        assert str(org_id) in ("", " ", ".") or str(org_id) not in caught.value.message
    with pytest.raises(InvalidId):
        registry.publish(org_id, {}, lambda *_: pytest.fail("it was described"))
    assert not registry.root.exists()


@pytest.mark.parametrize("org_id", ["acme", "1", "Org1", "CON", "a.b", "nul.txt", "me@x.org", "a:b-c_d", "x" * 80])
def test_an_org_id_names_one_folder_of_plain_characters(org_id: str, registry: Registry, publish: Publish) -> None:
    publish(registry, org_id)
    (folder,) = registry.root.iterdir()
    assert set(folder.name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-%")
    assert registry.orgs() == [org_id]


def test_the_longest_id_of_characters_that_need_encoding_has_a_folder(registry: Registry, publish: Publish) -> None:
    org_id = "a" + "@" * 79
    assert registry.versions(org_id) == []
    version = publish(registry, org_id)
    assert (registry.orgs(), registry.versions(org_id)) == ([org_id], [version])


def test_two_ids_never_share_a_folder(registry: Registry, publish: Publish) -> None:
    """An id with a percent sign could name another's folder, so it is none."""
    publish(registry, "a.b")
    assert [entry.name for entry in registry.root.iterdir()] == ["a%2Eb"]
    with pytest.raises(InvalidId):
        registry.versions("a%2Eb")
    assert registry.versions("a_b") == registry.versions("A.B") == []


@pytest.mark.parametrize(
    "version",
    [*TRAVERSALS, *ABSOLUTE, *CONTROLS, *UNICODE, "", "2026", "2026031506000", "202603150600000", *TYPES],
    ids=ascii,
)
def test_what_is_no_version_id_is_refused(version: str, registry: Registry, publish: Publish) -> None:
    publish(registry)
    for call in (registry.load, registry.manifest, registry.judgement, registry.manifest_sha256):
        with pytest.raises(InvalidId, match="a version id must be 14 digits"):
            call("acme", version)
    assert check_version_id("20260315060000") == "20260315060000"


NOON = datetime(2026, 3, 15, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("existing", "now", "expected"),
    [
        ([], NOON, "20260315120000"),
        ([], NOON.replace(microsecond=999_999), "20260315120000"),
        ([], NOON.astimezone(timezone(timedelta(hours=9))), "20260315120000"),
        (["20260315115959"], NOON, "20260315120000"),
        (["20260315120000"], NOON, "20260315120001"),
        (["20260315120000", "20260315120001"], NOON.replace(microsecond=5), "20260315120002"),
        (["20270101000000", "20250101000000"], NOON, "20270101000001"),
        (["20261231235959"], NOON, "20270101000000"),
        (["20280228235959"], NOON, "20280229000000"),
        (["20380119031407"], NOON, "20380119031408"),
        (["99999999999999", "20260231000000", "00000000000000", "notes"], NOON, "20260315120000"),
        (["99991231235959"], NOON, "20260315120000"),
    ],
)
def test_an_id_is_the_time_or_a_second_after_the_newest(existing: list[str], now: datetime, expected: str) -> None:
    assert next_version_id(existing, now) == expected
