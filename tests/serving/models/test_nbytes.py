"""What a loaded version weighs: the bytes of its arrays, each counted once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serving.models.nbytes import nbytes_by_array


def nbytes_of(value):
    return sum(nbytes_by_array(value).values())


def test_the_weight_counts_what_the_forest_derived(shelf):
    shelf.activated()
    artifact = shelf.registry.load("default", shelf.registry.versions("default")[0])
    bare = nbytes_of(artifact.scorer)
    artifact.scorer.contributions([[0.0] * 11])
    assert nbytes_of(artifact.scorer) > bare


@dataclass(frozen=True, slots=True)
class Part:
    """Has no `__dict__`."""

    array: np.ndarray


@dataclass(frozen=True)
class Whole:
    """Holds parts, and a kind of them."""

    kind: type
    parts: tuple[Part, ...]
    name: str = "whole"

    @cached_property
    def derived(self) -> np.ndarray:
        return np.zeros(3)


def test_an_array_that_two_share_is_counted_once_wherever_it_stands() -> None:
    shared, own = np.zeros(10), np.zeros(4, np.int8)
    assert nbytes_by_array([shared, (shared, [own])]) == {id(shared): 80, id(own): 4}
    whole = Whole(Part, (Part(shared), Part(shared), Part(own)))
    assert nbytes_by_array(whole) == {id(shared): 80, id(own): 4}
    assert nbytes_by_array(whole) | {id(whole.derived): 24} == nbytes_by_array(whole)
