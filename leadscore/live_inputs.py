"""What arrives against what was learned: the findings on an org's features that the pipeline makes and others show."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

# as_learned: nothing to say; noted: findings that move no score; shifted: findings to act on; not_judged: no version of
# the org's own scores it, or it kept no bins
InputState = Literal["as_learned", "noted", "shifted", "not_judged"]
# what is otherwise: more or fewer values are unknown; nearly all are above or below those learned; they are higher or
# lower; they lie closer together or wider apart; the market moved with the season; other leads convert
InputKind = Literal["unknown", "scale", "level", "spread", "season", "base_rate"]


class InputFinding(msgspec.Struct, frozen=True):
    """One feature that arrives otherwise than it was learned, since a day (UTC), found on another.

    `served` and `learned` are shares of the leads for `unknown` and `base_rate`; else mean places among the learned
    values, from 0 to 1, where ½ is usual. `points` is how much the mean score moves by it, as a probability; None where
    the version has no row with such values. Without `is_alarm`, it is a note.
    """

    feature: str
    kind: InputKind
    is_alarm: bool
    since: date
    found_on: date
    leads: int
    served: float
    learned: float
    points: float | None
    in_words: str
    action: str


class LiveInputs(msgspec.Struct, frozen=True, kw_only=True):
    """An org's findings as of a moment, of leads that its version scored up to the day `judged_through`.

    `days` and `leads` count what was judged by that version; a lead counts once per landmark age.
    """

    org_id: str
    as_of: datetime
    state: InputState
    in_words: str
    version: str | None = None
    judged_through: date | None = None
    days: int = 0
    leads: int = 0
    findings: list[InputFinding] = []

    @property
    def alarms(self) -> list[InputFinding]:
        """The findings to act on."""
        return [finding for finding in self.findings if finding.is_alarm]
