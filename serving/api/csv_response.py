"""Answers rows as CSV (RFC 4180) that a spreadsheet opens without running any of it as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from flask import Response

CSV_TYPE = "text/csv"
LIST_SEPARATOR = "; "
# a spreadsheet takes a cell that begins so for a formula, and a quotation mark in front for text
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_response(names: Sequence[str], rows: Iterable[Sequence[Any]], *, file_name: str) -> Response:
    """Return the rows below their names, for a browser to save as `file_name`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)
    response = Response(text.getvalue().encode(), content_type=f"{CSV_TYPE}; charset=utf-8; header=present")
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def _cell(value: Any) -> str:
    """Return a value as a cell; only text can be taken for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return _cell(LIST_SEPARATOR.join(value))
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA_STARTS) else text
