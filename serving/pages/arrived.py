"""What arrives for an org, as its page shows it: features that differ from what was learned, or from the CRM's data."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from leadscore.errors import DatabaseUnavailable
from leadscore.features import CONTRACT
from serving.dependencies.live_proof import Arrived, NamedSkew

NOT_COMPARED = "What arrives was not compared with what was learned yet."


class Source(Protocol):
    """Where the findings come from."""

    def arrived(self, org_id: str, /) -> Arrived:
        """Return how what arrives for the org differs. Raises DatabaseUnavailable."""
        ...


class WhatArrives(NamedTuple):
    """A sentence, the findings to act on and the notes in words, and those on what requests bring.

    `problem` says why they cannot be read.
    """

    in_words: str
    alarms: list[str]
    notes: list[str]
    skews: list[str]
    problem: str = ""


def what_arrives(source: Source, org_id: str) -> WhatArrives:
    """Return what arrives for the org; when it cannot be read, the rest of the page comes all the same."""
    try:
        found = source.arrived(org_id)
    except DatabaseUnavailable as error:
        return WhatArrives("", [], [], [], error.message)
    findings = found.inputs.findings if found.inputs else []
    said = found.inputs.in_words if found.inputs else NOT_COMPARED
    return WhatArrives(
        "" if findings else said,
        [f"{each.in_words} {each.action}" for each in findings if each.is_alarm],
        [f"{each.in_words} {each.action}" for each in findings if not each.is_alarm],
        [_said(skew) for skew in found.skews],
    )


def _said(skew: NamedSkew) -> str:
    """Return a difference in words; its example lead is for the operator alone."""
    cause = f": {skew.cause}" if skew.cause else ""
    today = " The CRM has no history of it, so it may also have changed since." if skew.is_of_today else ""
    return (
        f"{_label(skew.feature)} ({skew.feature}) differs from the CRM's data in {skew.differing:,} of"
        f" {skew.compared:,} requests{cause}.{today}"
    )


def _label(name: str) -> str:
    words = next((feature.words for feature in CONTRACT.features if feature.name == name), None)
    label = getattr(words, "label", "")
    return label or name
