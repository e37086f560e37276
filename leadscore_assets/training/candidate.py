"""Candidate: the name of a version that was trained, handed from one asset to the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A version of the org's, by its id; the version itself lies in the registry."""

    version: str
