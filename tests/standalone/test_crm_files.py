"""The files of a CRM's tables: in whichever form they are written, the same rows are read, each with its line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadscore.errors import InvalidCrmData
from standalone.crm_files import MAX_FIELD_CHARS, Row, find_files, read_rows, zstd

KNOWN = ("id", "org_id", "notes")
COMPRESS = {".csv": bytes, ".csv.gz": gzip.compress, ".csv.zst": zstd.compress}
ROWS: list[Row] = [(1, list(KNOWN), None), (2, ["1", "a", "x"], None), (3, ["2", "", "é"], None)]
TEXT = "id,org_id,notes\n1,a,x\n2,,é\n"


def read(folder: Path, content: bytes, suffix: str = ".csv") -> list[Row]:
    path = folder / f"dossier{suffix}"
    path.write_bytes(COMPRESS[suffix](content))
    return list(read_rows(path, KNOWN))


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.rstrip().encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "\t").encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.replace("id,", '"id",', 1).encode(),
        codecs.BOM_UTF16_LE + TEXT.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("id,org_id,notes", ' id ,org_id , "notes"'.replace(' "notes"', "notes ")).encode(),
        TEXT.replace("2,,", "2,\\N,").encode(),
        TEXT.replace("2,,", '2,"",').encode(),
        TEXT.replace("x", '"x"').encode() + b"\n\n",
    ],
    ids=[
        "LF",
        "no last line end",
        "CRLF",
        "CR",
        "semicolons",
        "tabs",
        "BOM",
        "BOM and quotes",
        "Excel's Unicode text",
        "UTF-16 BE",
        "blanks around names",
        "NULL of COPY",
        "empty text",
        "quotes and empty lines",
    ],
)
def test_same_rows_are_read_in_every_form(tmp_path: Path, content: bytes, suffix: str) -> None:
    assert read(tmp_path, content, suffix) == ROWS


def test_line_is_the_one_on_which_an_editor_shows_the_row(tmp_path: Path) -> None:
    text = 'id,org_id,notes\r\n1,a,"two\nlines"\r\n\r\n2,"a\r\nb\rc",x\r\n3,a,x\r\n'
    assert read(tmp_path, text.encode()) == [
        (1, list(KNOWN), None),
        (2, ["1", "a", "two\nlines"], None),
        (5, ["2", "a\r\nb\rc", "x"], None),
        (8, ["3", "a", "x"], None),
    ]


def test_field_may_be_as_long_as_a_mail_with_pictures(tmp_path: Path) -> None:
    assert read(tmp_path, b"id,org_id,notes\n1,a," + b"x" * 1_000_000)[1][1][2] == "x" * 1_000_000


def test_separator_that_gives_the_most_known_names_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, b'id;"notes, a, b"\n1;x') == [(1, ["id", "notes, a, b"], None), (2, ["1", "x"], None)]


def test_bytes_that_are_not_utf8_become_surrogates(tmp_path: Path) -> None:
    assert read(tmp_path, b"id,org_id,notes\n1,a,\xe9")[1] == (2, ["1", "a", "\udce9"], None)


QUOTES = "a quote opens or closes in the wrong place ({}); no further row was read"
DAMAGED = "the file is damaged, cut off, or not what its name says ({}); export it again"


@pytest.mark.parametrize(
    ("content", "last"),
    [
        (b"", (1, [], "the columns' names are missing; the first line must have them")),
        (b"\n1,a,x", (1, [], "the columns' names are missing; the first line must have them")),
        (b'id,notes\n1,x\n2,"x\n3,y\n', (3, [], QUOTES.format("unexpected end of data"))),
        (b'id,notes\n1,x\n2,"x"y\n3,y\n', (3, [], QUOTES.format("',' expected after '\"'"))),
        (
            b'id,notes\n2,"' + b"x" * (MAX_FIELD_CHARS + 1),
            (2, [], QUOTES.format("field larger than field limit (10000000)")),
        ),
        (
            codecs.BOM_UTF16_LE + "id,notes\n1".encode("utf-16-le") + b"\x00\xdc1\x00",
            (
                1,
                [],
                DAMAGED.format("'utf-16-le' codec can't decode bytes in position 22-23: illegal encoding"),
            ),
        ),
    ],
    ids=["empty", "blank first line", "open quote", "text after a quote", "endless field", "not UTF-16"],
)
def test_file_that_cannot_be_read_on_ends_with_line_and_reason(tmp_path: Path, content: bytes, last: Row) -> None:
    assert read(tmp_path, content)[-1] == last


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("message.csv.gz", b"id,notes\n", 1, "Not a gzipped file (b'id')"),
        (
            "message.csv.gz",
            gzip.compress(b"id,notes\n" * 99)[:-9],
            100,
            "Compressed file ended before the end-of-stream",
        ),
        ("message.csv.zst", b"id,notes\n", 1, "Unable to decompress Zstandard data: Unknown frame descriptor"),
        (
            "message.csv.zst",
            zstd.compress(b"id,notes\n" * 99)[:20],
            1,
            "Compressed file ended before the end-of-stream",
        ),
    ],
    ids=["not gzip", "gzip cut off", "not zstd", "zstd cut off"],
)
def test_damaged_archive_ends_with_line_and_reason(
    tmp_path: Path, name: str, content: bytes, line: int, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    *_, (last_line, fields, fault) = read_rows(tmp_path / name, KNOWN)
    assert (last_line, fields) == (line, [])
    assert fault is not None
    assert fault.startswith(f"the file is damaged, cut off, or not what its name says ({reason}")


def test_each_table_has_its_file_in_any_form(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv.gz", "c.csv.zst", "notes.txt", "d.parquet"):
        (tmp_path / name).touch()
    assert find_files(tmp_path, ["a", "b", "c"]) == {
        "a": tmp_path / "a.csv",
        "b": tmp_path / "b.csv.gz",
        "c": tmp_path / "c.csv.zst",
    }


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["b.csv"], "lacks a file for a, c"),
        (["a.csv", "a.csv.gz", "b.csv", "c.csv"], "has both a.csv and a.csv.gz, of which one must go"),
        (["a.csv", "b.csv", "c.parquet", "c.csv.zst"], "has both c.csv.zst and c.parquet, of which one must go"),
        (
            ["a.csv", "b.csv", "c.parquet"],
            "has c.parquet, which is not CSV; convert it, for example with DuckDB: COPY (FROM 'c.parquet') TO 'c.csv'",
        ),
        (
            ["b.csv", "b.csv.gz", "c.csv"],
            "lacks a file for a; it has both b.csv and b.csv.gz, of which one must go",
        ),
    ],
)
def test_missing_double_and_foreign_files_are_all_named(tmp_path: Path, names: Sequence[str], says: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InvalidCrmData) as caught:
        find_files(tmp_path, ["a", "b", "c"])
    assert str(caught.value) == (
        f"{tmp_path} {says}. It must hold one CSV file for each table of the CRM (a, b, c), named after the table and"
        " ending in .csv, .csv.gz, .csv.zst."
    )


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    separator: str
    line_end: str
    encoding: str
    suffix: str

    @property
    def quoting(self) -> Literal[0, 1]:
        """Python 3.11 leaves fields with the other line end unquoted, unless all are quoted."""
        return csv.QUOTE_MINIMAL if self.line_end == "\r\n" else csv.QUOTE_ALL


FORMS = st.builds(
    Form,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(list(COMPRESS)),
)
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.text(
    ",;\t\"'\n\r\\N ", max_size=5
)
TABLES = st.lists(st.lists(FIELDS.filter(lambda field: field != "\\N"), min_size=3, max_size=3), max_size=6)


@given(TABLES, FORMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_csv_module_writes_is_read_back_with_its_lines(
    tmp_path: Path, table: list[list[str]], form: Form
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=form.separator, lineterminator=form.line_end, quoting=form.quoting)
    written: list[Row] = []
    for fields in (list(KNOWN), *table):
        line = 1 + len(re.findall(r"\r\n|\r|\n", text.getvalue()))
        written.append((line, fields, None))
        writer.writerow(fields)
    assert read(tmp_path, text.getvalue().encode(form.encoding), form.suffix) == written
