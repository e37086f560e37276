"""A server follows an object store by one small object, and while the store is down it serves what was read before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from leadscore.errors import Damaged, RegistryUnavailable
from leadscore.gate import Judgement
from leadscore.registry import watched_storage
from leadscore.registry.activation import apply_verdict, roll_back, withdraw
from leadscore.registry.changes import MOST_CHANGES, Change, Changes, decode_changes
from leadscore.registry.object_client import ObjectClient
from leadscore.registry.removal import remove_org
from leadscore.registry.store import Registry
from leadscore.registry.version import ENGINE_FILE
from tests.leadscore.registry.registry_files import put
from tests.object_store import Fault, FaultyStore

Publish = Callable[..., str]
Judge = Callable[..., Judgement]
# promised
SERVED_WITHIN_SECONDS = 2.0


@pytest.fixture
def writer(object_store: FaultyStore, publish: Publish, judge: Judge) -> Registry:
    """Give a registry of three versions that passed the gate, the first of which is active."""
    registry = Registry(object_store.new_url())
    made = [publish(registry) for _ in range(3)]
    judge(registry, made[0])
    apply_verdict(registry, "acme", made[0], by="run-0")
    for version in made[1:]:
        judge(registry, version)
    return registry


@pytest.fixture
def reader(writer: Registry, tmp_path: Path) -> Iterator[Registry]:
    """Give the registry as a server reads it."""
    registry = Registry(writer.place, copies=tmp_path / "copies")
    yield registry
    registry.close()


def _version(registry: Registry) -> str | None:
    pointer = registry.active("acme")
    return pointer.version if pointer else None


def _until(fact: Callable[[], object], seconds: float = 20.0) -> float:
    """Wait until `fact` holds; return how long it took."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def _looked_for(registry: Registry) -> set[str]:
    """Return what the watch looks at with each turn, because it was announced and is not there yet."""
    return registry._storage._announced.keys() & registry._storage._known.keys()


def _load(registry: Registry) -> str:
    pointer = registry.active("acme")
    assert pointer
    return registry.load_for_scoring("acme", pointer.version, pointer.manifest_sha256).manifest.version


@pytest.mark.parametrize("latency_seconds", [0.0, 0.05])
def test_a_version_activated_elsewhere_is_read_within_two_seconds(
    latency_seconds: float,
    writer: Registry,
    reader: Registry,
    object_store: FaultyStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_store, "latency_seconds", latency_seconds)
    oldest, stamp = _version(reader), reader.pointer_stamp("acme")
    for version in writer.versions("acme")[:1]:
        apply_verdict(writer, "acme", version, by="run-1")
        assert _until(lambda version=version: _version(reader) == version) < SERVED_WITHIN_SECONDS
    assert reader.pointer_stamp("acme") not in (None, stamp)
    roll_back(writer, "acme", oldest, by="me", reason="test")
    assert _until(lambda: _version(reader) == oldest) < SERVED_WITHIN_SECONDS


def test_a_withdrawal_and_an_erasure_elsewhere_are_read_within_two_seconds(writer: Registry, reader: Registry) -> None:
    assert _version(reader)
    withdraw(writer, "acme", by="a test", reason="a test")
    assert _until(lambda: _version(reader) is None) < SERVED_WITHIN_SECONDS
    assert reader.pointer_stamp("acme") is not None
    remove_org(writer, "acme")
    assert _until(lambda: reader.pointer_stamp("acme") is None) < SERVED_WITHIN_SECONDS


def test_a_first_activation_is_read_by_who_found_none_before(
    writer: Registry, reader: Registry, publish: Publish, judge: Judge
) -> None:
    assert reader.pointer_stamp("globex") is None
    judge(writer, version := publish(writer, "globex"), org_id="globex")
    apply_verdict(writer, "globex", version, by="run-1")
    assert _until(lambda: reader.pointer_stamp("globex")) < SERVED_WITHIN_SECONDS


def test_an_own_rollback_is_read_at_once(reader: Registry) -> None:
    newest = reader.versions("acme")[0]
    assert _version(reader) != newest
    assert roll_back(reader, "acme", newest, by="me", reason="test") == reader.active("acme")


def test_what_does_not_change_costs_one_request_a_second_however_many_orgs_there_are(
    writer: Registry, reader: Registry, publish: Publish, judge: Judge, object_store: FaultyStore
) -> None:
    orgs = [f"org-{number}" for number in range(10)]
    for org_id in orgs:
        judge(writer, version := publish(writer, org_id), org_id=org_id)
        apply_verdict(writer, org_id, version, by="run-1")
    pointers = [reader.active(org_id) for org_id in orgs]
    _until(lambda: not _looked_for(reader))
    with object_store.faulty(lambda *_: Fault.NONE) as requests:
        _until(lambda: len(requests) >= 2)
        for _ in range(100):
            assert [reader.active(org_id) for org_id in orgs] == pointers
            assert all(reader.pointer_stamp(org_id) for org_id in orgs)
        assert all("/changes.json" in request for request in requests)


def test_an_activation_of_one_org_reads_that_orgs_pointer_alone(
    writer: Registry, reader: Registry, publish: Publish, judge: Judge, object_store: FaultyStore
) -> None:
    judge(writer, version := publish(writer, "globex"), org_id="globex")
    apply_verdict(writer, "globex", version, by="run-1")
    assert reader.active("globex")
    _version(reader)
    _until(lambda: not _looked_for(reader))
    newest = writer.versions("acme")[0]
    apply_verdict(writer, "acme", newest, by="run-1")
    with object_store.faulty(lambda *_: Fault.NONE) as requests:
        _until(lambda: _version(reader) == newest)
        assert not [request for request in requests if "globex" in request]


def test_a_swap_that_comes_long_after_its_announcement_is_read(
    writer: Registry, reader: Registry, object_store: FaultyStore
) -> None:
    """As by a writer that was held up between the two; one that died there is looked for no longer than needed."""
    _version(reader)
    newest, storage = writer.versions("acme")[0], reader._storage
    replace = ObjectClient.replace

    def late(self: ObjectClient, key: str, content: bytes, seen: object) -> object:
        if key.endswith("active.json"):
            _until(lambda: "acme/active.json" in storage._announced)
        return replace(self, key, content, seen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectClient, "replace", late)
        apply_verdict(writer, "acme", newest, by="run-1")
    assert _until(lambda: _version(reader) == newest) < SERVED_WITHIN_SECONDS
    assert not _looked_for(reader)


def test_an_announcement_that_never_comes_true_is_forgotten(
    writer: Registry, reader: Registry, monkeypatch: pytest.MonkeyPatch, object_store: FaultyStore
) -> None:
    monkeypatch.setattr(watched_storage, "LOOK_SECONDS", 0.1)
    before, newest = _version(reader), writer.versions("acme")[0]
    with (
        object_store.faulty(
            lambda _, method, path: Fault.REFUSED if method == "PUT" and path.endswith("active.json") else Fault.NONE
        ),
        pytest.raises(RegistryUnavailable),
    ):
        apply_verdict(writer, "acme", newest, by="run-1")
    announced = decode_changes(ObjectClient(writer.place).get("changes.json")).changes.last
    _until(lambda: reader._storage._changes.last == announced)
    _until(lambda: not reader._storage._announced)
    assert _version(reader) == before


def test_who_missed_too_many_changes_reads_everything_again(
    writer: Registry, reader: Registry, object_store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _version(reader)
    newest = writer.versions("acme")[0]
    with object_store.faulty(
        lambda _number, _method, path: Fault.DEAD if path.endswith("changes.json") else Fault.NONE
    ):
        _until(lambda: not reader.is_up)
    apply_verdict(writer, "acme", newest, by="run-1")
    last = 1_000 + MOST_CHANGES
    much_later = Changes((Change(last, "globex/active.json", ""),))
    put(writer, "changes.json", msgspec.json.encode(much_later))
    _until(lambda: reader._storage._changes.last == last)
    assert _version(reader) == newest


def test_the_newest_judged_version_is_known_without_a_request_until_another_is_judged(
    writer: Registry, reader: Registry, publish: Publish, judge: Judge, object_store: FaultyStore
) -> None:
    newest = writer.versions("acme")[0]
    assert reader.newest_judged("acme") == newest
    reader._storage._changing.clear()  # as long after the announcements
    assert reader.newest_judged("acme") == newest
    with object_store.faulty(lambda *_: Fault.NONE) as requests:
        assert [reader.newest_judged("acme") for _ in range(10)] == [newest] * 10
        assert not [request for request in requests if "list-type" in request]
    judge(writer, later := publish(writer))
    assert _until(lambda: reader.newest_judged("acme") == later) < SERVED_WITHIN_SECONDS


def test_a_process_without_copies_watches_and_asks_the_store_also_after_it_failed(
    writer: Registry, object_store: FaultyStore
) -> None:
    sensors = Registry(writer.place, is_watching=True)
    version = _load(sensors)
    with object_store.down():
        _until(lambda: not sensors.is_up)
        assert _version(sensors) == version
        with pytest.raises(RegistryUnavailable):
            _load(sensors)
    assert _load(sensors) == version
    sensors.close()


# an outage


def test_while_the_store_is_down_what_was_read_is_served(
    writer: Registry, reader: Registry, object_store: FaultyStore
) -> None:
    version = _load(reader)
    assert reader.active("globex") is None
    with object_store.down():
        _until(lambda: not reader.is_up)
        assert (_load(reader), reader.active("globex")) == (version, None)
        with pytest.raises(RegistryUnavailable, match="no copy"):
            reader.active("never-asked-for")
    _until(lambda: reader.is_up)
    assert reader.active("never-asked-for") is None


def test_a_server_that_starts_while_the_store_is_down_serves_its_copies(
    writer: Registry, reader: Registry, object_store: FaultyStore, tmp_path: Path
) -> None:
    version = _load(reader)
    newest = writer.versions("acme")[0]
    with object_store.down():
        restarted = Registry(writer.place, copies=tmp_path / "copies")
        assert (_load(restarted), restarted.orgs(), restarted.is_up) == (version, ["acme"], False)
        began = time.monotonic()
        for _ in range(1_000):
            assert restarted.pointer_stamp("acme")
        assert time.monotonic() - began < 1
    apply_verdict(writer, "acme", newest, by="run-1")
    _until(lambda: restarted.is_up and _version(restarted) == newest)
    restarted.close()


def test_a_copy_that_was_changed_is_never_served(
    writer: Registry, reader: Registry, object_store: FaultyStore, tmp_path: Path
) -> None:
    version = _load(reader)
    (tmp_path / "copies" / "acme" / version / ENGINE_FILE).write_bytes(b"changed")
    assert _load(reader) == version
    (tmp_path / "copies" / "acme" / version / ENGINE_FILE).write_bytes(b"changed")
    with object_store.down():
        restarted = Registry(writer.place, copies=tmp_path / "copies")
        with pytest.raises(Damaged, match="SHA-256"):
            _load(restarted)
        restarted.close()


def test_copies_of_versions_that_a_pointer_no_longer_names_go(
    writer: Registry, reader: Registry, tmp_path: Path
) -> None:
    *newer, oldest = writer.versions("acme")
    for version in (oldest, *newer):
        if version != oldest:
            roll_back(reader, "acme", version, by="me", reason="test")
        assert _load(reader) == version
    kept = {path.name for path in (tmp_path / "copies" / "acme").iterdir() if path.is_dir()}
    assert kept <= {oldest, *newer}
    _until(lambda: oldest not in {path.name for path in (tmp_path / "copies" / "acme").iterdir()})


def test_the_copies_of_an_erased_org_go_at_once_or_with_the_next_start(
    writer: Registry, reader: Registry, tmp_path: Path, publish: Publish, judge: Judge
) -> None:
    judge(writer, version := publish(writer, "globex"), org_id="globex")
    apply_verdict(writer, "globex", version, by="run-1")
    _load(reader)
    pointer = reader.active("globex")
    reader.load_for_scoring("globex", version, pointer.manifest_sha256)
    assert {path.name for path in (tmp_path / "copies").iterdir()} == {"acme", "globex"}
    remove_org(writer, "acme")
    _until(lambda: not [path for path in (tmp_path / "copies" / "acme").rglob("*") if path.is_file()])
    reader.close()
    remove_org(writer, "globex")
    restarted = Registry(writer.place, copies=tmp_path / "copies")
    assert restarted.active("globex") is None
    assert list((tmp_path / "copies").iterdir()) == []
    restarted.close()


def test_where_no_copy_can_be_kept_the_store_is_read_and_the_log_says_so_once(
    writer: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "copies").write_text("a file")
    reader = Registry(writer.place, copies=tmp_path / "copies")
    assert _load(reader) == _load(reader) == _version(writer)
    assert [record.message.count("no copy of the registry") for record in caplog.records] == [1]
    reader.close()


def test_changes_that_cannot_be_read_are_an_outage_that_is_said(
    writer: Registry, reader: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    version = _load(reader)
    put(writer, "changes.json", b"{")
    _until(lambda: not reader.is_up)
    assert _load(reader) == version
    assert "changes.json is not JSON" in caplog.text
    ObjectClient(writer.place).delete(["changes.json"])
    _until(lambda: reader.is_up)
