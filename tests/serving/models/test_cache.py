"""The cache of loaded versions: loaded once, bounded by bytes, never stale, never unverified."""

from __future__ import annotations

import os
import threading
import time

import pytest

from leadscore.errors import Damaged, NoActiveModel
from leadscore.pooling import POOLED
from leadscore.registry.activation import reinstate, withdraw
from leadscore.registry.moves import rename, set_aside
from leadscore.registry.removal import remove_org
from leadscore.registry.store import Registry
from serving.models import cache as model_cache
from serving.models.cache import FAILURE_SECONDS, ModelCache
from serving.models.mapped_files import MappedFiles
from serving.models.nbytes import nbytes_by_array
from serving.telemetry.metrics import Metrics


def nbytes_of(value):
    return sum(nbytes_by_array(value).values())


class CountingRegistry:
    """The registry, which counts its loads and can be made to wait in them."""

    def __init__(self, registry):
        self._registry, self.loads, self.gate = registry, [], threading.Event()
        self.gate.set()

    def __getattr__(self, name):
        return getattr(self._registry, name)

    def load_for_scoring(self, org_id, version, sha256, copies):
        self.loads.append((org_id, version))
        assert self.gate.wait(10)
        return self._registry.load_for_scoring(org_id, version, sha256, copies)


@pytest.fixture
def copies(tmp_path):
    return MappedFiles(lambda: tmp_path / "copies")


@pytest.fixture
def counting(shelf):
    return CountingRegistry(shelf.registry)


def held(cache: ModelCache, counting, *orgs: str) -> list[bool]:
    """Tell of each org whether its version is in memory, by whether asking for it loads it."""
    found = []
    for org_id in orgs:
        before = len(counting.loads)
        cache.active(org_id)
        found.append(len(counting.loads) == before)
    return found


def test_a_version_is_loaded_once(copies, shelf, counting):
    shelf.activated()
    cache = ModelCache(counting, 10**9, Metrics(), copies)
    assert cache.active("default") is cache.active("default")
    assert len(counting.loads) == len(cache) == 1


def test_a_new_pointer_is_seen_by_the_next_request(copies, shelf, counting):
    cache = ModelCache(counting, 10**9, Metrics(), copies)
    for _ in range(3):
        version = shelf.activated()
        assert cache.active("default").manifest.version == version


def withdraw_default(shelf):
    withdraw(shelf.registry, "default", by="a test", reason="other leads")


def test_a_version_that_was_withdrawn_is_not_served_by_the_next_request_nor_by_another_process(
    copies, shelf, counting, tmp_path
):
    version = shelf.activated()
    caches = [ModelCache(counting, 10**9, Metrics(), MappedFiles(lambda name=name: tmp_path / name)) for name in "ab"]
    assert [cache.active("default").manifest.version for cache in caches] == [version, version]
    withdraw_default(shelf)
    for cache in caches:
        with pytest.raises(NoActiveModel):
            cache.active("default")
        with pytest.raises(NoActiveModel):
            cache.own_pointer("default")
    assert reinstate(shelf.registry, "default", by="a test", reason="the same").version == version
    assert [cache.active("default").manifest.version for cache in caches] == [version, version]
    withdraw_default(shelf)
    ModelCache(counting, 10**9, Metrics(), copies).warm_up(10)


def test_a_withdrawal_is_read_once(copies, shelf, counting, monkeypatch):
    shelf.activated()
    withdraw_default(shelf)
    cache, read = ModelCache(counting, 10**9, Metrics(), copies), []
    monkeypatch.setattr(counting._registry, "active", read.append)
    for _ in range(3):
        with pytest.raises(NoActiveModel):
            cache.active("default")
    assert read == ["default"]


def test_an_org_that_was_withdrawn_is_scored_by_the_pooled_model_without_the_former_customers_base_value(
    copies, shelf, counting
):
    shelf.pooled(default=0.25)
    cache = ModelCache(counting, 10**9, Metrics(), copies, is_pooling=True)
    unshifted = cache.active("new").scorer.base_value
    assert cache.active("default").scorer.base_value == pytest.approx(0.25, abs=1e-6)
    shelf.activated()
    withdraw_default(shelf)
    assert cache.active("default").scorer.base_value == unshifted
    set_aside(shelf.registry, "default")
    assert cache.active("default").scorer.base_value == unshifted


def test_a_renamed_org_is_scored_by_the_pooled_model_at_the_base_value_of_its_former_id(copies, shelf, counting):
    shelf.pooled(default=0.25)
    cache = ModelCache(counting, 10**9, Metrics(), copies, is_pooling=True)
    assert cache.active("new").scorer.base_value != pytest.approx(0.25, abs=1e-6)
    rename(shelf.registry, "default", "new")
    assert cache.active("new").scorer.base_value == pytest.approx(0.25, abs=1e-6)


def test_a_renamed_orgs_version_is_served_under_the_new_id_alone(copies, shelf, counting):
    version = shelf.activated()
    cache = ModelCache(counting, 10**9, Metrics(), copies)
    cache.active("default")
    rename(shelf.registry, "default", "new")
    assert cache.active("new").manifest.version == version
    with pytest.raises(NoActiveModel):
        cache.active("default")


def test_requests_that_come_at_once_load_once(copies, shelf, counting, started_threads):
    shelf.activated()
    cache, found, at_once = ModelCache(counting, 10**9, Metrics(), copies), [], threading.Barrier(9)
    counting.gate.clear()

    def ask() -> None:
        at_once.wait(10)
        found.append(cache.active("default"))

    threads = [started_threads(ask) for _ in range(8)]
    at_once.wait(10)
    counting.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len({id(artifact) for artifact in found}) == len(counting.loads) == 1


def test_memory_is_bounded_and_the_least_recently_used_leaves_first(copies, shelf, counting):
    for org_id in ("a", "b", "c"):
        shelf.activated(org_id)
    shelf.activated("a")
    weight = nbytes_of(ModelCache(shelf.registry, 10**9, Metrics(), copies).active("a").scorer)
    metrics = Metrics()
    cache = ModelCache(counting, 2 * weight + 1, metrics, copies)
    for org_id in ("a", "b", "a", "c"):
        cache.active(org_id)
    assert len(cache) == 2
    assert held(cache, counting, "a", "c", "b") == [True, True, False]
    text = metrics.text().decode()
    assert f"leadscore_model_cache_bytes {float(2 * weight)}" in text
    assert "leadscore_model_cache_evictions_total 2.0" in text


def test_a_version_larger_than_the_bound_is_served_and_kept_alone(copies, shelf, counting):
    shelf.activated("a")
    shelf.activated("b")
    cache = ModelCache(counting, 1, Metrics(), copies)
    cache.active("a")
    assert held(cache, counting, "a", "b", "b", "a") == [True, False, True, False]
    assert len(cache) == 1


def test_what_a_request_holds_stays_valid_when_it_leaves_the_cache(copies, shelf):
    shelf.activated("a")
    shelf.activated("b")
    cache = ModelCache(shelf.registry, 1, Metrics(), copies)
    artifact = cache.active("a")
    before = artifact.scorer.probabilities([[0.0] * 11])
    cache.active("b")
    assert artifact.scorer.probabilities([[0.0] * 11]) == before


def test_what_happens_to_the_files_of_a_loaded_version_changes_no_answer(client, shelf, features):
    forest = shelf.folder(shelf.activated()) / "engine.safetensors"
    before = client.post("/api/v1/predict", json={"features": features}).json
    with forest.open("r+b") as file:
        file.write(b"\0" * forest.stat().st_size)
    assert client.post("/api/v1/predict", json={"features": features}).json == before
    os.truncate(forest, 0)
    assert client.post("/api/v1/predict", json={"features": features}).json == before


def test_a_failure_is_remembered_for_a_moment_and_forgotten_then(copies, shelf, counting):
    version, now = shelf.activated(), [0.0]
    forest = shelf.folder(version) / "engine.safetensors"
    content = forest.read_bytes()
    forest.write_bytes(b"harm")
    cache = ModelCache(counting, 10**9, Metrics(), copies, clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(Damaged):
            cache.active("default")
    assert len(counting.loads) == 1
    forest.write_bytes(content)
    now[0] = FAILURE_SECONDS
    assert cache.active("default").manifest.version == version


def test_a_rollback_away_from_a_damaged_version_is_served_at_once(copies, shelf):
    good, damaged = shelf.activated(), shelf.activated()
    (shelf.folder(damaged) / "engine.safetensors").write_bytes(b"harm")
    cache = ModelCache(shelf.registry, 10**9, Metrics(), copies)
    with pytest.raises(Damaged):
        cache.active("default")
    shelf.roll_back(good)
    assert cache.active("default").manifest.version == good


def test_a_new_version_that_is_damaged_is_not_replaced_by_the_old_one(copies, shelf):
    shelf.activated()
    cache = ModelCache(shelf.registry, 10**9, Metrics(), copies)
    cache.active("default")
    (shelf.folder(shelf.activated(high=0.9)) / "engine.safetensors").write_bytes(b"harm")
    with pytest.raises(Damaged):
        cache.active("default")


def test_a_pointer_to_other_files_than_those_activated_is_refused(copies, shelf):
    folder = shelf.folder(shelf.activated())
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"abc"', b'"abd"'))
    with pytest.raises(Damaged):
        ModelCache(shelf.registry, 10**9, Metrics(), copies).active("default")


def test_a_failed_load_frees_those_who_wait_for_it(copies, shelf, counting, started_threads):
    (shelf.folder(shelf.activated()) / "engine.safetensors").write_bytes(b"harm")
    cache, errors = ModelCache(counting, 10**9, Metrics(), copies), []
    counting.gate.clear()

    def ask() -> None:
        try:
            cache.active("default")
        except Damaged as error:
            errors.append(error)

    threads = [started_threads(ask) for _ in range(4)]
    deadline = time.monotonic() + 10
    while not counting.loads and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    counting.gate.set()
    for thread in threads:
        thread.join(10)
    assert (len(errors), len(counting.loads)) == (4, 1)


def test_orgs_without_a_model_leave_nothing_in_memory(copies, shelf):
    cache = ModelCache(shelf.registry, 10**9, Metrics(), copies)
    for index in range(100):
        with pytest.raises(NoActiveModel):
            cache.active(f"org-{index}")
    assert vars(cache)["_pointers"] == {}


def test_orgs_with_a_model_leave_bounded_memory(copies, shelf, monkeypatch):
    """Neither pointers nor versions pile up; an org whose pointer was dropped is served as before."""
    monkeypatch.setattr(model_cache, "MAX_POINTERS", 3)
    versions = {org_id: shelf.activated(org_id) for org_id in "abcdef"}
    cache = ModelCache(shelf.registry, 1, Metrics(), copies)
    for org_id in "abcdefa":
        assert cache.active(org_id).manifest.version == versions[org_id]
    assert list(vars(cache)["_pointers"]) == ["e", "f", "a"]
    assert len(cache) == 1


def test_looking_at_the_pointer_is_cheap(copies, shelf):
    shelf.activated()
    cache = ModelCache(shelf.registry, 10**9, Metrics(), copies)
    cache.active("default")
    started = time.perf_counter()
    for _ in range(1_000):
        cache.active("default")
    assert time.perf_counter() - started < 1


def test_caches_that_share_a_folder_map_one_copy_and_an_evicted_version_leaves_it(shelf, tmp_path, copies):
    """As the processes of one server do; who still holds the version is not disturbed."""
    for org_id, high in (("a", 0.75), ("b", 0.9)):
        shelf.activated(org_id, high=high)
    one, other = (ModelCache(shelf.registry, 1, Metrics(), copies) for _ in range(2))
    held = [one.active("a"), other.active("a")]
    [copy] = (tmp_path / "copies").iterdir()
    assert copy.name == held[0].sha256 == held[1].sha256
    one.active("b")
    assert copy not in list((tmp_path / "copies").iterdir())
    assert len({served.scorer.explain([99.0] * 11)[0] for served in held}) == 1
    assert other.active("a") is held[1]


def test_loads_are_counted(shelf, copies):
    shelf.activated()
    metrics = Metrics()
    cache = ModelCache(shelf.registry, 10**9, metrics, copies)
    cache.active("default")
    cache.active("default")
    assert "leadscore_model_cache_loads_total 1.0" in metrics.text().decode()
    assert (cache.take_hits(), cache.take_hits()) == (1, 0)


def test_active_versions_are_loaded_before_they_are_asked_for_those_activated_last_first(copies, shelf, counting):
    for moment, org_id in enumerate(("older", "old", "new")):
        shelf.activated(org_id)
        os.utime(shelf.registry.root / org_id / "active.json", (moment, moment))
    shelf.publish("never-activated")
    cache = ModelCache(counting, 10**9, Metrics(), copies)
    cache.warm_up(60)
    assert [org_id for org_id, _ in counting.loads] == ["new", "old", "older"]
    assert held(cache, counting, "new", "old", "older") == [True] * 3


@pytest.mark.parametrize("is_pooling", [True, False])
def test_the_pooled_model_is_loaded_first_where_it_scores_leads(copies, shelf, counting, is_pooling):
    shelf.activated("own")
    shelf.pooled(new=0.3)
    cache = ModelCache(counting, 10**9, Metrics(), copies, is_pooling=is_pooling)
    cache.warm_up(60)
    assert [owner for owner, _ in counting.loads] == ([POOLED] if is_pooling else []) + ["own"]
    cache.active("own")
    assert len(counting.loads) == 1 + is_pooling


def test_without_a_pooled_model_the_others_are_loaded_early_all_the_same(copies, shelf, counting):
    shelf.activated("own")
    ModelCache(counting, 10**9, Metrics(), copies, is_pooling=True).warm_up(60)
    assert [owner for owner, _ in counting.loads] == ["own"]


def test_nothing_is_loaded_early_when_there_is_no_time_or_half_of_the_memory_is_taken(copies, shelf, counting):
    shelf.activated("a")
    weight = nbytes_of(ModelCache(shelf.registry, 10**9, Metrics(), copies).active("a").scorer)
    for org_id in ("b", "c", "d", "e"):
        shelf.activated(org_id)
    ModelCache(counting, 10**9, Metrics(), copies).warm_up(0)
    assert counting.loads == []
    now = [0.0]
    timed = ModelCache(counting, 10**9, Metrics(), copies, clock=lambda: now[0])
    counting.gate.wait = lambda _seconds: now.__setitem__(0, now[0] + 1) or True
    timed.warm_up(1.5)
    assert len(counting.loads) == 2
    counting.loads.clear()
    ModelCache(counting, 5 * weight, Metrics(), copies).warm_up(60)
    assert len(counting.loads) == 3


def test_what_cannot_be_loaded_early_keeps_no_other_from_it(copies, shelf, counting, tmp_path):
    damaged = shelf.activated("damaged", high=0.9)
    (shelf.folder(damaged, "damaged") / "engine.safetensors").write_bytes(b"")
    shelf.activated("sound")
    shelf.pooled()
    cache = ModelCache(counting, 10**9, Metrics(), copies)
    cache.warm_up(60)
    assert len(cache) == 1
    with pytest.raises(Damaged):
        cache.active("damaged")
    ModelCache(CountingRegistry(Registry(tmp_path / "none")), 10**9, Metrics(), copies).warm_up(60)


def test_an_org_that_was_removed_has_no_active_model_and_leaves_memory(copies, shelf, tmp_path):
    shelf.activated("a")
    shelf.activated("b", high=0.9)
    metrics = Metrics()
    here, there = (ModelCache(shelf.registry, 10**9, chosen, copies) for chosen in (metrics, Metrics()))
    in_use = [cache.active("a") for cache in (here, there)]
    weight = nbytes_of(here.active("b").scorer)
    before = in_use[0].scorer.probabilities([[0.0] * 11])

    assert remove_org(shelf.registry, "a") == 1

    for cache in (here, there):
        with pytest.raises(NoActiveModel):
            cache.active("a")
    assert len(here) == 1
    assert f"leadscore_model_cache_bytes {float(weight)}" in metrics.text().decode()
    assert [path.name for path in (tmp_path / "copies").iterdir()] == [here.active("b").sha256]
    # a request that has the version still scores by it: its pages stay mapped
    assert [version.scorer.probabilities([[0.0] * 11]) for version in in_use] == [before, before]
