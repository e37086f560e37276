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
    # rows as strings of bits: their order is the same, and sorting them takes a tenth of the time
    packed = np.packbits(is_used, axis=1)
    bits = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, group_of, sizes = np.unique(bits, return_index=True, return_inverse=True, return_counts=True)
    if len(first) > MOST_GROUPS:
        return is_used
    keys = is_used[first]
    lengths = keys.sum(axis=1)
    by_length = np.argsort(lengths, kind="stable")
    keys, sizes, group_of = keys[by_length], sizes[by_length], np.argsort(by_length)[group_of]
    common, lengths = keys.astype(np.float32), lengths[by_length]
    for group in np.arange(len(keys)):
        rest = sizes[group] % lanes
        hosts = group + 1 + np.flatnonzero(common[group + 1 :] @ common[group] == lengths[group])
        room = -sizes[hosts] % lanes
        if 0 < rest <= room.sum():
            taken = np.diff(np.minimum(np.cumsum(room), rest), prepend=0)
            moved = np.flatnonzero(group_of == group)[-rest:]
            group_of[moved] = np.repeat(hosts, taken)
            sizes[hosts] += taken
            sizes[group] -= rest
    found: Flags = keys[group_of]
    return found
