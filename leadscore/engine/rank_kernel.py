"""Machine code for ranks: each value of a row is looked up among its feature's thresholds, `ranks` says what for.

For a row of eleven features this takes 0.2 µs with some hundred thresholds of each, below 2 with some thousands.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from leadscore.engine.ir_builder import F32, I1, I16, I64, POINTER, Code, Value, new_internal_function
from leadscore.engine.ranks import UNKNOWN


def add_rank(module: ir.Module) -> ir.Function:
    """Add and return rank(thresholds, starts, features, rows, row_count, width, ranks).

    `ranks`, shape (rows, features), gets the ranks of the first `features` of each row's `width` values.
    """
    kinds = [POINTER, POINTER, I64, POINTER, I64, I64, POINTER]
    code, arguments = new_internal_function(module, "rank", kinds)
    thresholds, starts, features, rows, row_count, width, ranks = arguments

    def cell(row: Value, column: Value) -> None:
        start, end = (code.at(starts, at, I64) for at in (column, code.add(column, I64(1))))
        value = code.at(rows, code.add(code.mul(row, width), column), F32)
        first = code.gep(thresholds, [start], source_etype=F32)
        below = code.trunc(_count_below(code, first, code.sub(end, start), value), I16)
        rank = code.select(code.fcmp_unordered("uno", value, value), I16(UNKNOWN), below)
        code.store(rank, code.gep(ranks, [code.add(code.mul(row, features), column)], source_etype=I16))

    code.cells(row_count, features, cell)
    code.ret_void()
    return code.function


def _count_below(code: Code, thresholds: Value, count: Value, value: Value) -> Value:
    """Return how many thresholds are below the value: they rise, and the last, an infinity, is not."""

    def halve(_: Value, found: Value, left: Value) -> Sequence[Value]:
        half = code.lshr(left, I64(1))
        beyond = code.add(found, half)
        is_below = code.fcmp_ordered("<", code.at(thresholds, code.sub(beyond, I64(1)), F32), value)
        return code.select(is_below, beyond, found), code.sub(left, half)

    # the smallest number of halvings, rounded up, that leaves one
    halvings = code.sub(I64(64), code.ctlz(code.sub(count, I64(1)), I1(0)))
    return code.loop(halvings, halve, I64(0), count)[0]
