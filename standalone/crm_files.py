"""The files of a folder with the CRM's tables: finds the file of each table, and reads it as rows of text.

A file is CSV, as it is or compressed: what Excel saves, and what PostgreSQL's COPY and other tools write.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from leadscore.errors import InvalidCrmData

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# by what a file's name ends in
OPENERS: Mapping[str, Callable[[Path], Any]] = {
    ".csv": lambda path: path.open("rb"),
    ".csv.gz": gzip.open,
    ".csv.zst": zstd.open,
}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

SEPARATORS = (",", ";", "\t")
NULL = "\\N"  # as COPY and pg_dump may write it; an empty field is NULL, too
MAX_FIELD_CHARS = 10_000_000  # the csv module's own limit, 131,072, is less than a long message has

# the line on which a row begins, its fields, and why the file cannot be read from there on, which ends it
Row = tuple[int, list[str], str | None]


def find_files(folder: Path, tables: Iterable[str]) -> dict[str, Path]:
    """Return the file of each table. Raises InvalidCrmData, which names every table that has none, or several."""
    found = {table: _candidates(folder, table) for table in tables}
    missing = [table for table, paths in found.items() if not paths]
    faults = [f"lacks a file for {', '.join(missing)}"] if missing else []
    for paths in found.values():
        if len(paths) > 1:
            faults.append(f"has both {' and '.join(path.name for path in paths)}, of which one must go")
        elif paths and paths[0].suffix == ".parquet":
            faults.append(f"has {paths[0].name}, which is not CSV; {_conversion(paths[0])}")
    if faults:
        raise InvalidCrmData(
            f"{folder} {'; it '.join(faults)}. It must hold one CSV file for each table of the CRM"
            f" ({', '.join(found)}), named after the table and ending in {', '.join(OPENERS)}."
        )
    return {table: paths[0] for table, paths in found.items()}


def read_rows(path: Path, known_columns: Collection[str]) -> Iterator[Row]:
    """Yield the file's rows, first the one that names the columns. Fields that are NULL are empty.

    A line is counted where an editor shows one, so a row of a text with line breaks has several. Separator and
    encoding (UTF-8 or, with a byte order mark, UTF-16) are found out. Bytes that are not UTF-8 become surrogates.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    line = 1
    try:
        with _opened(path) as text:
            first = text.readline()
            if not first.strip():
                yield line, [], "the columns' names are missing; the first line must have them"
                return
            reader = csv.reader(chain([first], text), delimiter=_separator(first, known_columns), strict=True)
            yield line, [name.strip() for name in next(reader)], None
            line = reader.line_num + 1
            for fields in reader:
                if fields:
                    yield line, ["" if field == NULL else field for field in fields] if NULL in fields else fields, None
                line = reader.line_num + 1
    except csv.Error as error:
        yield line, [], f"a quote opens or closes in the wrong place ({error}); no further row was read"
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, zstd.ZstdError) as error:
        yield line, [], f"the file is damaged, cut off, or not what its name says ({error}); export it again"


def _candidates(folder: Path, table: str) -> list[Path]:
    paths = (folder / f"{table}{suffix}" for suffix in (*OPENERS, ".parquet"))
    return [path for path in paths if path.is_file()]


def _conversion(path: Path) -> str:
    return f"convert it, for example with DuckDB: COPY (FROM '{path.name}') TO '{path.stem}.csv'"


@contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
    with OPENERS["".join(path.suffixes)](path) as file:
        is_utf16 = file.peek(2)[:2] in UTF16_MARKS
        encoding, errors = ("utf-16", "strict") if is_utf16 else ("utf-8-sig", "surrogateescape")
        # newline="": line breaks within a text stay as they are
        with io.TextIOWrapper(file, encoding, errors, newline="") as text:
            yield text


def _separator(first_line: str, known_columns: Collection[str]) -> str:
    def fit(separator: str) -> tuple[int, int]:
        names = [name.strip(' "\r\n') for name in first_line.split(separator)]
        return sum(name in known_columns for name in names), len(names)

    return max(SEPARATORS, key=fit)
