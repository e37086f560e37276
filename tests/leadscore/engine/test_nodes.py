"""Nodes are checked before a kernel walks them, since the walk looks at no bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadscore.engine.nodes import Nodes
from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.forest import Forest


def _changed(nodes: Nodes, name: str, index: int, value: Any) -> Nodes:
    array = getattr(nodes, name).copy()
    array[index] = value
    return dataclasses.replace(nodes, **{name: array})


FORGED: dict[str, Callable[[Nodes], Nodes]] = {
    "a left child beyond the last": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) + (9 << 40)),
    "a right child beyond the last": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) + (2 << 40)),
    "a child before its parent": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) - (1 << 40)),
    "a feature that a row has not": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) | (11 << 32)),
    "a threshold that is no number": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) | 0x7FC00000),
    "a leaf that may be left again": lambda nodes: _changed(nodes, "words", 3, int(nodes.words[3]) & ~(0x80 << 32)),
    "a root beyond the last": lambda nodes: _changed(nodes, "roots", 15, 4),
    "a root before the first": lambda nodes: _changed(nodes, "roots", 0, -1),
    "roots that are no whole pack": lambda nodes: dataclasses.replace(nodes, roots=nodes.roots[:15]),
    "more trees than roots": lambda nodes: dataclasses.replace(nodes, trees=17),
    "no tree": lambda nodes: dataclasses.replace(nodes, trees=0),
    "no depth": lambda nodes: dataclasses.replace(nodes, depth=-1),
    "a depth without end": lambda nodes: dataclasses.replace(nodes, depth=2**62),
    "fewer values than nodes": lambda nodes: dataclasses.replace(nodes, values=nodes.values[:-1]),
    "no nodes": lambda nodes: dataclasses.replace(nodes, words=nodes.words[:0], values=nodes.values[:0]),
    "a share above 1": lambda nodes: _changed(nodes, "values", 1, 1.5),
    "a share that is no number": lambda nodes: _changed(nodes, "values", 1, np.nan),
    "a padding that counts": lambda nodes: _changed(nodes, "values", 3, 0.5),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_nodes_on_which_a_walk_could_go_astray_are_refused(forgery: str, make_forest: Callable[..., Forest]) -> None:
    """The kernels look at no bounds and always end; what they are given is looked at before."""
    scorer = make_forest().scorer
    assert scorer.nodes.is_sound(11)
    forged = dataclasses.replace(scorer, nodes=FORGED[forgery](scorer.nodes))
    assert not forged.nodes.is_sound(11)
    with pytest.raises(Damaged, match="the engine's arrays do not fit each other"):
        Scorer.from_arrays(forged.to_arrays(), 11)
