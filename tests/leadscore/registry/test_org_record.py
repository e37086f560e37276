"""The record of an org: its former ids, the versions of each, and since when its id is this customer's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadscore.errors import Damaged, UnsupportedFormat
from leadscore.formats import FORMAT
from leadscore.registry.durable_files import read_if_there
from leadscore.registry.org_record import ORG_FILE, FormerId, OrgRecord, decode_org_record, encode_org_record

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_org_without_a_file_has_an_empty_record(tmp_path: Path) -> None:
    assert decode_org_record(read_if_there(tmp_path / ORG_FILE)) == OrgRecord()


def test_a_record_reads_back_and_can_be_read_by_people(tmp_path: Path) -> None:
    record = OrgRecord((FormerId("acme", NOON, ("20260315060000",)),), NOON - HOUR)
    (tmp_path / ORG_FILE).write_bytes(encode_org_record(record))
    assert decode_org_record(read_if_there(tmp_path / ORG_FILE)) == record
    assert (tmp_path / ORG_FILE).read_text() == (
        '{\n  "former_ids": [\n    {\n      "org_id": "acme",\n      "until": "2026-03-15T12:00:00Z",\n'
        '      "versions": [\n        "20260315060000"\n      ],\n      "since": null\n    }\n  ],\n'
        f'  "customer_since": "2026-03-15T11:00:00Z",\n  "format": {FORMAT},\n  "lead_ids_since": null\n}}\n'
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 5, "former_ids": 1}', b'{"format": "5"}'])
def test_what_is_no_record_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ORG_FILE).write_bytes(content)
    with pytest.raises(Damaged, match=r"org\.json .*; restore it from a backup"):
        decode_org_record(read_if_there(tmp_path / ORG_FILE))


def test_a_record_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / ORG_FILE).write_bytes(b'{"format": 99}')
    with pytest.raises(UnsupportedFormat, match="format 99"):
        decode_org_record(read_if_there(tmp_path / ORG_FILE))


def test_each_version_keeps_the_id_under_which_it_was_trained() -> None:
    record = OrgRecord().renamed("a", ["2", "1"], NOON, None).renamed("b", ["3", "2", "1"], NOON + HOUR, None)
    assert record.former_ids == (FormerId("a", NOON, ("1", "2")), FormerId("b", NOON + HOUR, ("3",)))
    assert [record.trained_as(version) for version in "1234"] == [("a",), ("a",), ("b",), ()]


def test_a_rename_that_was_begun_is_begun_anew() -> None:
    once = OrgRecord(customer_since=NOON - HOUR).renamed("a", ["1"], NOON, None)
    again = once.renamed("a", ["1", "2"], NOON + HOUR, None)
    assert again == OrgRecord((FormerId("a", NOON + HOUR, ("1", "2"), since=NOON - HOUR),))


def test_data_names_the_org_as_it_was_called_then() -> None:
    record = OrgRecord(
        (FormerId("a", NOON, ()), FormerId("b", NOON + HOUR, (), since=NOON - HOUR)), customer_since=NOON + HOUR
    )
    found = {hours: [*record.ids_at("c", NOON + hours * HOUR)] for hours in (-2, -1, 0, 1, 2)}
    assert found == {-2: ["a"], -1: ["b", "a"], 0: ["b", "a"], 1: ["c", "b"], 2: ["c"]}
