"""Linear algebra uses one core inside, and as many as before outside."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from leadscore_assets.training.one_core import on_one_core


def _cores() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_all_linear_algebra_uses_one_core_inside_and_those_of_before_afterwards() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        with on_one_core():
            assert _cores() == {1}
        assert _cores() == {2}


def test_an_error_inside_gives_the_cores_back() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        with pytest.raises(ValueError, match="inside"), on_one_core():
            raise ValueError("inside")
        assert _cores() == {2}
