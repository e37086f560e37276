"""Assigns each leaf to a group: the group of the features on its path or, to fill blocks, one with more features.

A feature that is not on a leaf's path lets every value through, and all of the training rows: it gets exactly nothing,
and changes nothing of what the others get. So the leaves that would fill no whole block of their own group may stand in
lanes that another group's last block has free. With forests of the product's shape this saves an eighth to a third of
all blocks.
"""

from __future__ import annotations

import numpy as np

from leadscore.arrays import Flags

# comparing each with each takes longer than it is worth
MOST_GROUPS = 4_096


def with_full_blocks(is_used: Flags, lanes: int) -> Flags:
    """Return the features, shape (leaves, features), of each leaf's group: those that it uses, and perhaps others.

    Groups give their rest to larger ones, the smallest groups first, to the smallest that have `lanes` to fill.
    """
    keys, group_of, sizes = np.unique(is_used, axis=0, return_inverse=True, return_counts=True)
    if len(keys) > MOST_GROUPS:
        return is_used
    lengths = keys.sum(axis=1)
    by_length = np.argsort(lengths, kind="stable")
    keys, sizes, group_of = keys[by_length], sizes[by_length], np.argsort(by_length)[group_of.ravel()]
    for group in range(len(keys)):
        rest = sizes[group] % lanes
        hosts = group + 1 + np.flatnonzero((keys[group + 1 :] >= keys[group]).all(axis=1))
        taken = np.diff(np.minimum(np.cumsum(-sizes[hosts] % lanes), rest), prepend=0)
        if rest > 0 and taken.sum() == rest:
            moved = np.flatnonzero(group_of == group)[-rest:]
            group_of[moved] = np.repeat(hosts, taken)
            sizes[hosts] += taken
            sizes[group] -= rest
    found: Flags = keys[group_of]
    return found
