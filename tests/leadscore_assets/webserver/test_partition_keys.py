"""Whether partitions exist is asked once for each request, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from leadscore_assets.webserver.partition_keys import PartitionKeys, request_context


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Give an instance with three orgs that counts what it is asked in `asked`."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", ["acme", "beta", "zeta"])
        asked: list[str] = []
        for name in ("get_dynamic_partitions", "has_dynamic_partition"):
            monkeypatch.setattr(instance, name, _counted(name, getattr(instance, name), asked))
        instance.asked = asked  # type: ignore[attr-defined]  # the test's own
        yield instance


def _counted(name: str, ask: Any, asked: list[str]) -> Any:
    def count(*arguments: Any) -> Any:
        asked.append(name)
        return ask(*arguments)

    return count


def test_all_keys_are_asked_for_once(instance: Any) -> None:
    keys = PartitionKeys(instance)
    found = [keys.has_dynamic_partition("orgs", key) for key in ("acme", "beta", "gone", "zeta")]
    assert found == [True, True, False, True]
    assert not keys.has_dynamic_partition("others", "acme")
    assert instance.asked == ["get_dynamic_partitions"] * 2


@pytest.mark.parametrize("is_read_only", [True, False])
def test_dagster_looks_for_a_requests_partitions_there(instance: Any, is_read_only: bool) -> None:
    """A definition's own question, within the request, takes that way; the next request asks anew."""
    process: Any = SimpleNamespace(instance=instance, get_current_workspace=lambda: None, version="1")
    orgs = dg.DynamicPartitionsDefinition(name="orgs")
    for key, is_there in (("new", False), ("new", True)):
        with request_context(process, None, is_read_only=is_read_only) as context:  # type: ignore[arg-type]  # not read
            assert context.read_only == is_read_only
            assert [orgs.has_partition_key(name) for name in ("acme", "beta", key)] == [True, True, is_there]
        instance.add_dynamic_partitions("orgs", [key])
    assert instance.asked.count("has_dynamic_partition") == 0
