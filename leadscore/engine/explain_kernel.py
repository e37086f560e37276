"""Machine code for contributions: `scorer` has the formula, `boxes` what is read.

There is one kernel for each number d of features on a leaf's path. Its inner loop has neither a branch nor a store:
for eight leaves at once, one per lane of a vector, it computes the factors f_j = z_j + (o_j - z_j) t at each quadrature
node t, their products before and behind each feature, and the sums. Rows stand inside groups of leaves, so that a
batch reads each group from memory once.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from leadscore.engine.boxes import LANES, MOST_FEATURES, block_type, quadrature
from leadscore.engine.code import F32, F64, I1, I8, I16, I64, MATHS, POINTER, Code, Value, lanes, new_internal_function
from leadscore.engine.ranks import UNKNOWN


def add_explain(module: ir.Module) -> ir.Function:
    """Add and return explain(segments, groups, path_features, blocks, values, ranks, row_count, width, contributions).

    `ranks` and `contributions` are of shape (rows, width); `contributions` grows by what the leaves give. `segments`
    holds, for each number of features, the first group and the one behind the last.
    """
    kinds = [*[POINTER] * 6, I64, I64, POINTER]
    kernels = [_leaf_kernel(module, features) for features in range(1, MOST_FEATURES + 1)]
    code, (segments, *others) = new_internal_function(module, "explain", kinds)
    for features, kernel in enumerate(kernels, start=1):
        first, behind = (code.at(segments, I64(2 * features + end), I64) for end in (0, 1))
        code.call(kernel, [first, code.sub(behind, first), *others])
    code.ret_void()
    return code.function


def _leaf_kernel(module: ir.Module, features: int) -> ir.Function:
    """Add the kernel for `count` groups from `first` on, whose leaves have so many features on their path."""
    kinds = [I64, I64, *[POINTER] * 5, I64, I64, POINTER]
    code, arguments = new_internal_function(module, f"explain_{features}", kinds)
    first, count, groups, path_features, blocks, values, ranks, row_count, width, contributions = arguments

    def group(number: Value) -> Sequence[Value]:
        at = code.mul(code.add(first, number), I64(4))
        path, first_byte, first_value, block_count = (
            code.at(groups, code.add(at, I64(part)), I64) for part in range(4)
        )
        columns = [code.at(path_features, code.add(path, I64(place)), I64) for place in range(features)]
        leaves, leaf_values = code.bytes_behind(blocks, first_byte), code.gep(values, [first_value], source_etype=F64)

        def row(number: Value) -> Sequence[Value]:
            offset = code.mul(number, width)
            known = [code.spread(code.at(ranks, code.add(offset, column), I16)) for column in columns]

            def block(number: Value, *sums: Value) -> Sequence[Value]:
                eight = code.bytes_behind(leaves, code.mul(number, I64(block_type(features).itemsize)))
                place = code.gep(leaf_values, [code.mul(number, I64(LANES))], source_etype=F64)
                return _with_leaves(code, eight, code.lanes_at(place, 0, F64), known, sums)

            totals = code.loop(block_count, block, *[lanes(0.0)] * features)
            for column, total in zip(columns, totals, strict=True):
                place = code.gep(contributions, [code.add(offset, column)], source_etype=F64)
                given = code.call(code.add_lanes(LANES), [F64(0.0), total], fastmath=MATHS)
                code.store(code.fadd(code.load(place, typ=F64), given), place)
            return ()

        code.loop(row_count, row)
        return ()

    code.loop(count, group)
    code.ret_void()
    return code.function


def _with_leaves(
    code: Code, leaves: Value, leaf_value: Value, ranks: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    """Return `sums` with what eight leaves give each feature on their path, where the row has `ranks`."""
    share = [_share(code, leaves, j) for j in range(len(ranks))]
    inside = [_is_inside(code, leaves, j, len(ranks), rank) for j, rank in enumerate(ranks)]
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


def _share(code: Code, leaves: Value, j: int) -> Value:
    return code.fpext(code.lanes_at(leaves, (8 * j + 4) * LANES, F32), ir.VectorType(F64, LANES))


def _is_inside(code: Code, leaves: Value, j: int, features: int, rank: Value) -> Value:
    """Return, per lane, whether the rank lies in the interval of the path's feature j, or is UNKNOWN's and let in."""
    from_first = code.icmp_unsigned("<=", code.lanes_at(leaves, 8 * j * LANES, I16), rank)
    to_last = code.icmp_unsigned("<=", rank, code.lanes_at(leaves, (8 * j + 2) * LANES, I16))
    bits = code.at(leaves, I64(8 * features * LANES + j), I8)
    lets_in = code.bitcast(bits, ir.VectorType(I1, LANES))
    is_unknown = code.icmp_unsigned("==", rank, ir.Constant(rank.type, [UNKNOWN] * LANES))
    return code.or_(code.and_(from_first, to_last), code.and_(is_unknown, lets_in))
