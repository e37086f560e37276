"""What a run prints: lines with a mark, lists that end, and how far a long step has come.

On a terminal, lines break between words, and a spinner shows the progress. In a file each message stays one line, so
that programs can search it, and the progress is a line now and then.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

from rich.console import Console
from rich.status import Status
from rich.text import Text

MAX_LINES = 10
PROGRESS_SECONDS = 10.0
FEW_SECONDS = 10.0
MOST_SECONDS = 100.0
MOST_MINUTES = 90.0


class Mark(Enum):
    """How something ended: done; fine, and nothing changed; refused, as it cannot be done yet; failed."""

    DONE = "[green]✓[/]"
    KEPT = "[blue]=[/]"
    REFUSED = "[yellow]![/]"
    FAILED = "[red]✗[/]"


class Progress:
    """How many of `total` things are done, and how long the others will take, at the pace so far."""

    def __init__(self, total: int, things: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._things, self._clock = total, things, clock
        self._done = 0
        self._started = self._last = clock()

    def count(self) -> None:
        """Note that one more is done."""
        self.reach(self._done + 1)

    def reach(self, done: int) -> None:
        """Note that so many are done."""
        if done > self._done:
            self._done, self._last = done, self._clock()

    def __str__(self) -> str:
        so_far = f"{self._done:,} of {self._total:,} {self._things}"
        if not 0 < self._done < self._total:
            return so_far
        each = (self._last - self._started) / self._done
        left = each * (self._total - self._done) - (self._clock() - self._last)
        return f"{so_far}, {in_time(left)} left"


def in_time(seconds: float) -> str:
    """Return a duration as people estimate one, such as "about 40 s"."""
    if seconds < FEW_SECONDS:
        return "a few seconds"
    if seconds < MOST_SECONDS:
        return f"about {round(seconds, -1):.0f} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < MOST_MINUTES else f"about {minutes / 60:.1f} h"


class Screen:
    """Prints to a console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, words: str) -> None:
        """Print plain words."""
        self._print(Text(), words)

    def tell(self, mark: Mark, words: str) -> None:
        """Print words behind a mark."""
        self._print(Text.from_markup(f"{mark.value} "), words)

    def done(self, what: str, words: str) -> None:
        """Print that a step is done."""
        self.tell(Mark.DONE, f"{what}: {words}")

    def list(self, reasons: Mapping[str, str], what: str, things: str) -> None:
        """Print `what` and the reason for each thing, for at most MAX_LINES of them."""
        for name, reason in list(reasons.items())[:MAX_LINES]:
            self.say(f"- {name}: {what}: {reason}")
        if len(reasons) > MAX_LINES:
            self.say(f"- {len(reasons) - MAX_LINES:,} more {things}: {what}")

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show what is done while the block does it, then print its notes and how long it took."""
        started = time.monotonic()
        notes: list[str] = []
        with self.console.status(f"{what} ..."):
            yield notes.append
        self.done(what, f"{'; '.join(notes)} ({time.monotonic() - started:.1f} s)")

    @contextmanager
    def progress(self, what: str, progress: Progress) -> Iterator[Callable[[], None]]:
        """Show how far the block has come; it calls what is yielded now and then."""
        is_animated = self.console.is_terminal and not self.console.is_dumb_terminal
        with self.console.status("") as status:
            shown = _Shown(what, progress, status, None if is_animated else self.say)
            shown.refresh()
            yield shown.refresh

    def _print(self, mark: Text, words: str) -> None:
        """Print words behind a mark at once, because a spinner may be drawn between two calls."""
        if self.console.is_terminal:
            first, *others = words.split("\n")
            lines = [
                wrapped(first, self.console.width, len(mark)),
                *(wrapped(line, self.console.width) for line in others),
            ]
            words = "\n".join(lines)
        self.console.print(mark.append(words), highlight=False, soft_wrap=True)


class _Shown:
    """A progress on the terminal or, where there is none, as a line each PROGRESS_SECONDS."""

    def __init__(self, what: str, progress: Progress, status: Status, say: Callable[[str], None] | None) -> None:
        self._what, self._progress, self._status, self._say = what, progress, status, say
        self._said_at = time.monotonic()

    def refresh(self) -> None:
        """Show the present state."""
        words = f"{self._what}: {self._progress}"
        self._status.update(words)
        if self._say and time.monotonic() - self._said_at > PROGRESS_SECONDS:
            self._say(words)
            self._said_at = time.monotonic()


def wrapped(line: str, width: int, taken: int = 0) -> str:
    """Return a line broken between words; what is longer than `width`, such as a path, stays whole.

    `taken` columns of the first line are used by a mark. The lines below a mark or a dash are indented.
    """
    lines = textwrap.wrap(
        line,
        width,
        initial_indent=" " * taken,
        subsequent_indent="  " if taken or line.startswith("- ") else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[taken:]
