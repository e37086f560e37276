"""Where nothing can be compiled, numpy does the kernels' work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import numpy as np
import pytest

from leadscore.engine import native
from leadscore.forest import Forest

ROWS = np.array([[1.0, *[0.0] * 10], [2.0, *[0.0] * 10], [np.nan, *[0.0] * 10]])
SCORES = [0.25, 0.75, 0.25]


@pytest.fixture
def fresh() -> None:
    """Forget the kernels that this process holds, before and after."""
    native.kernels.cache_clear()
    yield
    native.kernels.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_the_compiler_the_scores_are_the_same_and_the_log_says_why(
    make_forest: Callable[..., Forest], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with caplog.at_level(logging.WARNING):
        assert native.kernels() is None
    assert "computed with numpy" in caplog.text
    forest = make_forest()
    assert forest.probabilities(ROWS) == pytest.approx(SCORES)
    assert forest.base_value + forest.contributions(ROWS).sum(axis=1) == pytest.approx(SCORES)
