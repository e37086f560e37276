"""Machine code for contributions: `scorer` has the formula, `boxes` what is read.

There is one kernel for each number d of features on a leaf's path. Its inner loop stores nothing:
for sixteen leaves at once, one per lane of a vector, it computes the factors f_j = z_j + (o_j - z_j) t at each
quadrature node t, their products before and behind each feature, and the sums. Rows stand inside groups of leaves, so
that some rows read each group from memory once. What is let in when it is unknown is only read where it is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from llvmlite import ir

from leadscore.engine.boxes import LANES, MOST_FEATURES, PART, quadrature
from leadscore.engine.ir_builder import (
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    MATHS,
    POINTER,
    Code,
    Value,
    lanes,
    new_internal_function,
)
from leadscore.engine.ranks import UNKNOWN

# a sum over groups is kept in as many parts as a vector has lanes for float64
SUMS = LANES // 2
_PARTS_OF_SUM = ir.VectorType(F64, SUMS)
# where they stand in a part
_FIRST, _LAST, _SHARE = 0, 2 * LANES, 4 * LANES


def add_explain(module: ir.Module) -> ir.Function:
    """Add and return explain(segments, groups, path_features, blocks, lets_unknown, values, ...).

    The others are ranks, row_count, features, sums, contributions, width: `ranks` is of shape (rows, features), `sums`
    room for (rows, features, SUMS); `contributions`, shape (rows, width), grows by what the leaves give. `segments`
    holds, for each number of features on a path, the first group and the one behind the last.
    """
    kinds = [*[POINTER] * 7, I64, I64, POINTER, POINTER, I64]
    kernels = [_leaf_kernel(module, length) for length in range(1, MOST_FEATURES + 1)]
    code, (segments, *others, contributions, width) = new_internal_function(module, "explain", kinds)
    row_count, features, sums = others[-3:]
    _clear(code, sums, code.mul(row_count, features))
    for length, kernel in enumerate(kernels, start=1):
        first, behind = (code.at(segments, I64(2 * length + end), I64) for end in (0, 1))
        code.call(kernel, [first, code.sub(behind, first), *others])

    def cell(row: Value, column: Value) -> None:
        place = code.gep(contributions, [code.add(code.mul(row, width), column)], source_etype=F64)
        parts = _sum_at(code, sums, code.add(code.mul(row, features), column))
        total = code.call(code.add_lanes(SUMS), [F64(0.0), _loaded(code, parts)], fastmath=MATHS)
        code.store(code.fadd(code.load(place, typ=F64), total), place)

    code.cells(row_count, features, cell)
    code.ret_void()
    return code.function


def _clear(code: Code, sums: Value, count: Value) -> None:
    def clear(place: Value) -> Sequence[Value]:
        code.store(ir.Constant(_PARTS_OF_SUM, [0.0] * SUMS), _sum_at(code, sums, place), align=8)
        return ()

    code.loop(count, clear)


def _sum_at(code: Code, sums: Value, place: Value) -> Value:
    return code.gep(sums, [code.mul(place, I64(SUMS))], source_etype=F64)


def _loaded(code: Code, place: Value) -> Value:
    return code.load(place, typ=_PARTS_OF_SUM, align=8)


@dataclass(frozen=True)
class _Group:
    """A group of leaves with `length` features on their path: these features, where its bytes begin, its blocks."""

    code: Code
    length: int
    columns: Sequence[Value]
    parts: Value
    flags: Value
    values: Value
    block_count: Value


def _leaf_kernel(module: ir.Module, length: int) -> ir.Function:
    """Add the kernel for `count` groups from `first` on, whose leaves have `length` features on their path."""
    kinds = [I64, I64, *[POINTER] * 6, I64, I64, POINTER]
    code, (first, count, *arrays, ranks, row_count, features, sums) = new_internal_function(
        module, f"explain_{length}", kinds
    )

    def group(number: Value) -> Sequence[Value]:
        found = _group_at(code, length, code.add(first, number), *arrays)

        def row(number: Value) -> Sequence[Value]:
            places = [code.add(code.mul(number, features), column) for column in found.columns]
            _with_row(found, [code.at(ranks, place, I16) for place in places], sums, places)
            return ()

        code.loop(row_count, row)
        return ()

    code.loop(count, group)
    code.ret_void()
    return code.function


def _group_at(code: Code, length: int, number: Value, *arrays: Value) -> _Group:
    groups, path_features, blocks, lets_unknown, values = arrays
    path, part, block, block_count = (
        code.sext(code.at(groups, code.add(code.mul(number, I64(4)), I64(place)), I32), I64) for place in range(4)
    )
    return _Group(
        code,
        length,
        [code.zext(code.at(path_features, code.add(path, I64(j)), I8), I64) for j in range(length)],
        code.bytes_behind(blocks, code.mul(part, I64(PART.itemsize))),
        code.gep(lets_unknown, [part], source_etype=I16),
        code.gep(values, [code.mul(block, I64(LANES))], source_etype=F32),
        block_count,
    )


def _with_row(group: _Group, ranks: Sequence[Value], sums: Value, places: Sequence[Value]) -> None:
    """Add what the group's leaves give a row of these `ranks` to its `sums`, at these `places`."""
    code, length = group.code, group.length
    spread = [code.spread(rank) for rank in ranks]
    is_unknown = [code.icmp_unsigned("==", rank, I16(UNKNOWN)) for rank in ranks]
    any_unknown = reduce(code.or_, is_unknown)

    def block(number: Value, *totals: Value) -> Sequence[Value]:
        first = code.mul(number, I64(length))
        numbers = [code.add(first, I64(j)) for j in range(length)]
        parts = [code.bytes_behind(group.parts, code.mul(part, I64(PART.itemsize))) for part in numbers]
        flags = [code.gep(group.flags, [part], source_etype=I16) for part in numbers]
        values = code.lanes_at(code.gep(group.values, [code.mul(number, I64(LANES))], source_etype=F32), 0, F32)
        inside = [_is_inside(code, part, rank) for part, rank in zip(parts, spread, strict=True)]
        inside = code.replaced_if(any_unknown, inside, lambda: _or_let_in(code, inside, is_unknown, flags))
        return _with_leaves(code, [code.lanes_at(part, _SHARE, F32) for part in parts], inside, values, totals)

    for place, total in zip(places, code.loop(group.block_count, block, *[lanes(0.0)] * length), strict=True):
        at = _sum_at(code, sums, place)
        given = code.fpext(code.plus(*code.halves(total)), _PARTS_OF_SUM)
        code.store(code.fadd(_loaded(code, at), given), at, align=8)


def _is_inside(code: Code, part: Value, rank: Value) -> Value:
    """Return, per lane, whether the rank is inside of the part's interval."""
    from_first = code.icmp_unsigned("<=", code.lanes_at(part, _FIRST, I16), rank)
    return code.and_(from_first, code.icmp_unsigned("<=", rank, code.lanes_at(part, _LAST, I16)))


def _or_let_in(code: Code, inside: Sequence[Value], is_unknown: Sequence[Value], flags: Sequence[Value]) -> list[Value]:
    """Return, for each part and per lane, whether the row is inside, or its value unknown and let in."""
    lets_in = [code.bitcast(code.load(flag, typ=I16), ir.VectorType(I1, LANES)) for flag in flags]
    return [code.select(*three) for three in zip(is_unknown, lets_in, inside, strict=True)]


def _with_leaves(
    code: Code, share: Sequence[Value], inside: Sequence[Value], leaf_value: Value, sums: Sequence[Value]
) -> list[Value]:
    """Return `sums` with what a block of leaves gives each feature on their path."""
    ones = [code.select(one, lanes(1.0), lanes(0.0)) for one in inside]
    gap = [code.fsub(one, z, flags=MATHS) for one, z in zip(ones, share, strict=True)]
    integrals = _integrals(code, share, gap, leaf_value)
    return [code.plus(total, code.times(g, one)) for total, g, one in zip(sums, gap, integrals, strict=True)]


def _integrals(code: Code, share: Sequence[Value], gap: Sequence[Value], leaf_value: Value) -> list[Value]:
    """Return, for each feature, the leaf's value times the integral over the product of all other factors."""
    integrals: list[Value] = []
    for node, weight in quadrature(len(share)):
        factors = [code.plus(z, code.times(g, lanes(node))) for z, g in zip(share, gap, strict=True)]
        products = _products_of_others(code, factors, code.times(leaf_value, lanes(weight)))
        integrals = [code.plus(*pair) for pair in zip(integrals, products, strict=True)] if integrals else products
    return integrals


def _products_of_others(code: Code, factors: Sequence[Value], scale: Value) -> list[Value]:
    """Return, for each factor, `scale` times the product of all the others, without a division."""
    before = [scale]
    for factor in factors[:-1]:
        before.append(code.times(before[-1], factor))
    products, behind = [before[-1]], factors[-1]
    for product, factor in zip(reversed(before[:-1]), reversed(factors[:-1]), strict=True):
        products.append(code.times(product, behind))
        behind = code.times(behind, factor)
    return products[::-1]
