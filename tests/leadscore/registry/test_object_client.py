"""Conditional writes: one of several succeeds, and a lost answer is settled by reading what is there."""

from __future__ import annotations

import pytest

from leadscore.errors import Overtaken, RegistryUnavailable
from leadscore.registry.object_client import ObjectClient
from tests.object_store import SECRET, Fault, FaultyStore


@pytest.fixture
def client(object_store: FaultyStore) -> ObjectClient:
    return ObjectClient(object_store.new_url())


def test_an_object_is_created_once(client: ObjectClient) -> None:
    stamp = client.create("acme/a", b"first")
    assert stamp
    assert client.create("acme/a", b"second") is None
    found = client.get("acme/a")
    assert (found.content, found.stamp) == (b"first", stamp)


def test_an_object_is_replaced_only_by_who_has_seen_it(client: ObjectClient) -> None:
    first = client.replace("acme/a", b"first", None)
    second = client.replace("acme/a", b"second", first)
    for seen in (first, None):
        with pytest.raises(Overtaken):
            client.replace("acme/a", b"third", seen)
    client.delete(["acme/a"])
    with pytest.raises(Overtaken):
        client.replace("acme/a", b"third", second)
    assert client.get("acme/a") is None


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.FAILED, Fault.LOST])
def test_a_write_that_had_its_effect_succeeds_whatever_was_answered(
    fault: Fault, client: ObjectClient, object_store: FaultyStore
) -> None:
    with object_store.faulty(lambda number, *_: fault if number == 1 else Fault.NONE):
        stamp = client.create("acme/a", b"ours")
    assert client.get("acme/a").stamp == stamp
    with object_store.faulty(lambda number, *_: fault if number == 1 else Fault.NONE):
        stamp = client.replace("acme/a", b"ours, too", stamp)
    assert (client.get("acme/a").content, client.get("acme/a").stamp) == (b"ours, too", stamp)


def test_equal_content_of_another_writer_is_not_ours(client: ObjectClient) -> None:
    assert client.create("acme/a", b"same")
    assert client.create("acme/a", b"same") is None


def test_what_did_not_change_is_not_sent_again(client: ObjectClient) -> None:
    stamp = client.create("acme/a", b"content")
    assert client.get_if_new("acme/a", stamp) is None
    assert client.get_if_new("acme/a", None).content == b"content"
    client.put("acme/a", b"another")
    assert client.get_if_new("acme/a", stamp).content == b"another"
    client.delete(["acme/a", "acme/never"])
    assert client.get_if_new("acme/a", stamp) is None


def test_objects_are_listed_below_their_folder_alone(client: ObjectClient) -> None:
    for key in ("acme/1/a", "acme/1/b", "acme2/1/a", "registry.id"):
        client.put(key, b"12")
    assert sorted(client.folders()) == ["acme", "acme2"]
    assert sorted((entry.key, entry.size) for entry in client.entries("acme")) == [("acme/1/a", 2), ("acme/1/b", 2)]


def test_a_store_that_fails_is_said_without_its_address_or_a_secret(
    client: ObjectClient, object_store: FaultyStore
) -> None:
    with object_store.faulty(lambda *_: Fault.REFUSED), pytest.raises(RegistryUnavailable) as caught:
        client.create("acme/a", b"content")
    assert f"{client.url}, failed at" in caught.value.message
    assert SECRET not in caught.value.message
    assert str(object_store.port) not in caught.value.message
