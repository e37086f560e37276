"""What a run prints reads well at 80 columns, says how far it is, and marks what was refused as refused."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from standalone.screen import MAX_LINES, Mark, Progress, Screen, in_time, wrapped

REFUSAL = "The org is not ready: 0 of 3 converted leads in the holdout; no lead converted in the last 8 weeks."


def printed(*, is_terminal: bool) -> tuple[Screen, io.StringIO]:
    """Return a screen of 80 columns without colours, and what it prints to."""
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=is_terminal, color_system=None, _environ={"TERM": "xterm"})
    return Screen(console), output


def test_on_a_terminal_lines_break_between_words() -> None:
    screen, output = printed(is_terminal=True)
    screen.tell(Mark.REFUSED, f"Org pilot-site: {REFUSAL}")
    first, second = output.getvalue().splitlines()
    assert first.startswith("! Org pilot-site: The org")
    assert second.startswith("  ")
    assert max(len(first), len(second)) <= 80
    assert f"{first} {second.strip()}" == f"! Org pilot-site: {REFUSAL}"


def test_in_a_file_a_message_stays_one_line() -> None:
    screen, output = printed(is_terminal=False)
    screen.done("Org pilot-site", REFUSAL)
    assert output.getvalue() == f"✓ Org pilot-site: {REFUSAL}\n"


def test_a_path_that_is_too_long_stays_whole() -> None:
    path = "/" + "x" * 100
    assert wrapped(f"Read {path} now.", 80) == f"Read\n{path}\nnow."


def test_lines_of_a_text_and_its_blank_ones_stay() -> None:
    screen, output = printed(is_terminal=True)
    screen.say("\nHTTP server  http://here\nDagster      there")
    assert output.getvalue() == "\nHTTP server  http://here\nDagster      there\n"


def test_markup_in_what_is_said_is_text() -> None:
    screen, output = printed(is_terminal=False)
    screen.tell(Mark.FAILED, "[red]no[/] [bold")
    assert output.getvalue() == "✗ [red]no[/] [bold\n"


@pytest.mark.parametrize(("count", "last"), [(10, "- Org 9: w: r"), (1_000, "- 990 more orgs: w")])
def test_a_thousand_orgs_take_few_lines(count: int, last: str) -> None:
    screen, output = printed(is_terminal=False)
    screen.list({f"Org {number}": "r" for number in range(count)}, "w", "orgs")
    lines = output.getvalue().splitlines()
    assert lines[-1] == last
    assert len(lines) <= MAX_LINES + 1


def test_progress_is_told_with_the_time_left() -> None:
    """Two of five took 28 s, so the other three take 42 s; 2 s later they take 40 s."""
    now = [0.0]
    progress = Progress(5, "orgs", clock=lambda: now[0])
    assert str(progress) == "0 of 5 orgs"
    for seconds in (15.0, 28.0):
        now[0] = seconds
        progress.count()
    now[0] = 30.0
    assert str(progress) == "2 of 5 orgs, about 40 s left"
    for _ in range(3):
        progress.count()
    assert str(progress) == "5 of 5 orgs"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "a few seconds"), (44, "about 40 s"), (130, "about 2 min"), (7_900, "about 2.2 h")],
)
def test_times_are_told_as_people_estimate_them(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_long_step_shows_its_progress(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standalone.screen.PROGRESS_SECONDS", -1.0)
    screen, output = printed(is_terminal=is_terminal)
    progress = Progress(2, "orgs")
    with screen.progress("Training", progress) as refresh:
        progress.count()
        refresh()
        deadline = time.monotonic() + 10
        # a terminal is drawn again some times a second
        while (is_shown := "Training: 1 of 2 orgs, a few seconds left" in output.getvalue()) is False:
            assert time.monotonic() < deadline
    assert is_shown


def test_a_step_ends_with_its_notes_and_its_time() -> None:
    screen, output = printed(is_terminal=False)
    with screen.step("CRM") as note:
        note("30 leads")
    assert output.getvalue() == "✓ CRM: 30 leads (0.0 s)\n"
