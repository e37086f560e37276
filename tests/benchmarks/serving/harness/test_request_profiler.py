from __future__ import annotations

import importlib
from importlib.util import find_spec

from benchmarks.serving.harness.request_profiler import PART_OF_FUNCTION, PART_OF_MODULE, PARTS


def test_every_module_that_it_assigns_to_a_part_exists():
    assert [name for name in PART_OF_MODULE if find_spec(name) is None] == []


def test_every_function_that_it_assigns_to_a_part_exists():
    for name in PART_OF_FUNCTION:
        module, function = name.rsplit(".", 1)
        defined = importlib.import_module(module)
        classes = [part for part in vars(defined).values() if isinstance(part, type) and part.__module__ == module]
        assert any(hasattr(place, function) for place in (defined, *classes)), name


def test_every_part_that_is_assigned_is_printed():
    assert {*PART_OF_MODULE.values(), *PART_OF_FUNCTION.values()} <= set(PARTS)
