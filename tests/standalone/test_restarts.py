"""A part that died is started again: soon, then later each time, and everything is said. Time is the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from standalone.restarts import LONGEST_WAIT_SECONDS, SETTLED_SECONDS, STEADY_SECONDS, Restarted


class Part:
    """A process as the test makes it: it runs until `how` says how it ended."""

    name = "part"
    log_path = Path("part.log")

    def __init__(self) -> None:
        self.how: str | None = None
        self.is_stopped = False

    def ending(self) -> str | None:
        return self.how

    def raise_if_ended(self) -> None:
        raise AssertionError("nothing here ends a run")

    def stop(self) -> None:
        self.is_stopped = True


class World:
    """A clock, a part that is kept running, and what was said and started."""

    def __init__(self, *, has_port: bool = True) -> None:
        self.now, self.answers = 1_000.0, True
        self.parts, self.said = [Part()], list[str]()
        self.refusal: Exception | None = None
        self.restarted = Restarted(
            self.parts[0],
            self.start,
            (lambda: self.answers) if has_port else None,
            say=self.said.append,
            clock=lambda: self.now,
        )

    def start(self) -> Part:
        if self.refusal:
            raise self.refusal
        self.parts.append(Part())
        return self.parts[-1]

    def watch_after(self, seconds: float) -> None:
        self.now += seconds
        self.restarted.watch()

    def die(self, how: str = "ended with code 1") -> None:
        self.parts[-1].how = how
        self.restarted.watch()

    def seconds_until_started(self) -> float:
        """Watch once a second, and return how long it took until one more was started."""
        begun, count = self.now, len(self.parts)
        while len(self.parts) == count:
            self.watch_after(1.0)
            assert self.now - begun < 1_000, "it is never started again"
        return self.now - begun


def test_part_that_runs_is_left_alone() -> None:
    world = World()
    world.watch_after(1_000)
    assert (len(world.parts), world.said) == (1, [])


def test_death_is_said_with_its_kind_and_log_and_so_is_the_return() -> None:
    world = World()
    world.answers = False
    world.die("was ended by signal 9")
    world.watch_after(0.5)
    assert len(world.parts) == 1
    world.watch_after(0.5)
    assert len(world.parts) == 2
    world.watch_after(5.0)
    world.answers = True
    world.watch_after(1.0)
    world.watch_after(1.0)
    assert world.said == [
        "The part was ended by signal 9. It will be started again in 1 s. Its log is part.log.",
        "The part is running again.",
    ]


def test_what_a_dead_part_left_is_stopped_before_another_one_starts() -> None:
    world = World()
    world.die()
    assert world.parts[0].is_stopped


def test_each_wait_is_twice_as_long_up_to_a_minute() -> None:
    world, waits = World(), []
    for _ in range(9):
        world.die()
        waits.append(world.seconds_until_started())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, LONGEST_WAIT_SECONDS]


@pytest.mark.parametrize(("up_seconds", "wait"), [(STEADY_SECONDS - 1, 4), (STEADY_SECONDS, 1)])
def test_part_that_stayed_up_for_a_while_starts_soon_again(up_seconds: float, wait: float) -> None:
    world = World()
    for _ in range(2):
        world.die()
        world.seconds_until_started()
    world.watch_after(up_seconds)
    world.die()
    assert world.seconds_until_started() == wait


@pytest.mark.parametrize("refusal", [CannotRun("there is no such tool"), OSError("no memory")])
def test_start_that_fails_is_said_and_tried_again_later(refusal: Exception) -> None:
    world = World()
    world.watch_after(10 * STEADY_SECONDS)
    world.die()
    world.refusal = refusal
    world.watch_after(1.0)
    assert (
        world.said[-1]
        == f"The part could not be started ({refusal}). It will be started again in 2 s. Its log is part.log."
    )
    world.refusal = None
    assert world.seconds_until_started() == 2


def test_part_without_a_port_is_back_once_it_has_stayed_up() -> None:
    world = World(has_port=False)
    world.die()
    world.seconds_until_started()
    world.watch_after(SETTLED_SECONDS - 1)
    assert len(world.said) == 1
    world.watch_after(1.0)
    assert world.said[1:] == ["The part is running again."]


def test_part_that_dies_before_it_is_back_is_never_said_to_be() -> None:
    world = World()
    world.answers = False
    for _ in range(3):
        world.die()
        world.seconds_until_started()
    assert all("ended with code 1" in line for line in world.said)
