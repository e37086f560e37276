"""CSV is read back as it was written, and no cell of it is a formula."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies

from serving.api.csv_response import csv_response


def cells(*row: Any) -> list[str]:
    response = csv_response(["name"] * len(row), [row], file_name="x.csv")
    text = response.get_data().decode()
    names, found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert names == ["name"] * len(row)
    return found


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-0.1, "-0.1"),
        (1e-7, "1e-07"),
        (datetime(2026, 6, 1, 4, tzinfo=UTC), "2026-06-01T04:00:00+00:00"),
        (["a: −1 point", "b, c"], "a: −1 point; b, c"),  # noqa: RUF001 (a minus sign)
        ([], ""),
        (["=1", "b"], "'=1; b"),
    ],
)
def test_each_kind_of_value_has_one_form(value: Any, cell: str) -> None:
    assert cells(value, "last") == [cell, "last"]


@given(strategies.text(strategies.characters(codec="utf-8")))
def test_text_is_read_back_and_begins_with_no_sign_of_a_formula(text: str) -> None:
    [cell, _] = cells(text, "last")
    assert cell.removeprefix("'" if text[:1] != "'" else "") == text
    assert cell[:1] not in tuple("=+-@\t\r\n")


def test_lines_end_as_rfc_4180_says_and_the_type_says_that_names_come_first() -> None:
    response = csv_response(["a", "b"], [(1, 'say "x"'), (2, "line\nline")], file_name="leads-acme.csv")
    assert response.get_data() == b'a,b\r\n1,"say ""x"""\r\n2,"line\nline"\r\n'
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert response.headers["Content-Disposition"] == 'attachment; filename="leads-acme.csv"'
