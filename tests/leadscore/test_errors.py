"""An error is one class in one place, which says its code, its status and its words. These tests walk the tree."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

from leadscore import errors
from leadscore.errors import LeadscoreError, all_errors

ROOT = Path(errors.__file__).parent.parent
ERRORS = list(all_errors())
SENTENCE = re.compile(r"[A-Z].*\.")

Kind = type[LeadscoreError]


def drawn_tree() -> list[tuple[str, int]]:
    """Return the names and depths that the module's docstring draws."""
    lines = re.findall(r"^([│├└─ ]*)([A-Z]\w+)(?:  +\S.*)?$", errors.__doc__ or "", re.MULTILINE)
    return [(name, len(branches) // 4) for branches, name in lines]


def tree(base: Kind = LeadscoreError, depth: int = 0) -> list[tuple[str, int]]:
    below = (entry for derived in base.__subclasses__() for entry in tree(derived, depth + 1))
    return [(base.__name__, depth), *below]


def test_every_error_is_drawn_where_it_stands() -> None:
    assert drawn_tree() == tree()


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_has_a_code_and_words_of_its_own(kind: Kind) -> None:
    assert SENTENCE.fullmatch(" ".join((vars(kind)["__doc__"] or "").split()))
    assert re.fullmatch(r"[a-z_]+", vars(kind)["code"])


def test_no_error_stands_elsewhere() -> None:
    """But for the two servers' Refusals, which are answers and not errors of their own."""
    built_in = {name for name in dir(builtins) if name.endswith(("Error", "Exception"))} - {"BaseException"}
    names = {kind.__name__ for kind in ERRORS} | built_in
    elsewhere = [
        part.name
        for package in ("leadscore", "leadscore_assets", "serving", "standalone")
        for path in (ROOT / package).rglob("*.py")
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.ClassDef) and names & {getattr(base, "id", "") for base in part.bases}
        if path != Path(errors.__file__)
    ]
    assert elsewhere == ["Refusal", "Refusal"]


def test_no_two_errors_share_a_code() -> None:
    assert len({kind.code for kind in ERRORS}) == len(ERRORS)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_answered_as_itself_or_as_the_base_that_has_a_meaning_for_callers(kind: Kind) -> None:
    answer = kind.answered_as()
    assert issubclass(kind, answer)
    assert (answer is kind) == ("meaning" in vars(kind))
    assert SENTENCE.fullmatch(answer.meaning)
    assert kind.status == answer.status
    assert 400 <= answer.status <= 599


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind.in_training])
def test_what_callers_are_told_of_a_failed_training_goes_on_in_a_sentence(kind: Kind) -> None:
    assert re.fullmatch(r"[a-z].*[^.]", kind.in_training or "")
