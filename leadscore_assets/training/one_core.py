"""Keeps linear algebra on one core.

The matrices of an org are small. Cores that share them wait for each other in loops: on two cores that took a fifth of
the CPU time of a training and its report, and made neither faster. Runs that train different orgs use the other cores.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def on_one_core() -> AbstractContextManager[Any]:
    """Return a context in which numpy's and scipy's linear algebra uses one core, in the whole process."""
    on_one: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return on_one


@cache
def _libraries() -> ThreadpoolController:
    """Find the loaded libraries, which takes 30 ms."""
    return ThreadpoolController()
