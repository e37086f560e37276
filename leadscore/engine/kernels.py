"""The engine's machine code, written as LLVM's intermediate representation.

`walk` sends sixteen walkers down at a time, one per lane of a vector, so that the memory's latency in one is hidden by
the others. Every step loads by lane (a gather), which processors without such loads do one by one.

`explain` gives contributions: `forest` has the formula, `boxes` what is read. It has one kernel for each number d of
features on a leaf's path. Its inner loop has neither a branch nor a store: for eight leaves at once, one per lane of a
vector, it computes the factors f_j = z_j + (o_j - z_j) t at each quadrature node t, their products before and behind
each feature, and the sums. Rows stand inside groups of leaves, so that a batch reads each group from memory once.

Sums may be reordered and fused with products, which moves a result by its last bits. That a value is never unknown or
infinite is not assumed: boxes hold infinities, and the test for an unknown value must not be optimised away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from leadscore.engine.boxes import LANES, MOST_FEATURES, block_type, quadrature

WALKERS = 16

# llvmlite has no types for the checker
Value = Any
Kind = Any

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64, POINTER = ir.FloatType(), ir.DoubleType(), ir.PointerType()
MATHS = ("reassoc", "contract", "nsz")


def module_text() -> str:
    """Return the module with `walk` and `explain`, as LLVM reads it."""
    module = ir.Module("leadscore")
    _add_walk(module)
    _add_explain(module)
    return str(module)


class _Code(ir.IRBuilder):  # type: ignore[misc]  # llvmlite has no types
    """A builder with the few steps that occur again and again."""

    def at(self, array: Value, index: Value, kind: Kind) -> Value:
        """Load item `index` of an array of `kind`."""
        return self.load(self.gep(array, [index], source_etype=kind), typ=kind)

    def bytes_behind(self, array: Value, count: Value) -> Value:
        """Return the address so many bytes behind `array`."""
        return self.gep(array, [count], source_etype=I8)

    def lanes_at(self, array: Value, offset: int, kind: Kind) -> Value:
        """Load a vector that starts so many bytes behind `array`."""
        return self.load(self.bytes_behind(array, I64(offset)), typ=ir.VectorType(kind, LANES), align=4)

    def spread(self, value: Value, lanes: int = LANES) -> Value:
        """Return a vector whose lanes all hold `value`."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.insert_element(undefined, value, I32(0))
        return self.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))

    def places(self, array: Value, index: Value, kind: Kind) -> Value:
        """Return the addresses of the items of `index`, a vector."""
        places = self.gep(array, [index], source_etype=kind)
        places.type = ir.VectorType(POINTER, index.type.count)  # the builder takes every address for a single one
        return places

    def gather(self, places: Value, kind: Kind, is_wanted: Value, otherwise: Value | None = None) -> Value:
        """Load from each of `places` that is wanted; the others give their lane of `otherwise`, or 0."""
        vector = ir.VectorType(kind, places.type.count)
        name = f"llvm.masked.gather.v{vector.count}{kind.intrinsic_name}.v{vector.count}p0"
        function = self._intrinsic(name, vector, [places.type, I32, is_wanted.type, vector])
        default = ir.Constant(vector, [0] * vector.count) if otherwise is None else otherwise
        return self.call(function, [places, I32(4), is_wanted, default])

    def scatter(self, values: Value, places: Value, is_wanted: Value) -> None:
        """Store each lane that is wanted."""
        vector = values.type
        name = f"llvm.masked.scatter.v{vector.count}{vector.element.intrinsic_name}.v{vector.count}p0"
        function = self._intrinsic(name, ir.VoidType(), [vector, places.type, I32, is_wanted.type])
        self.call(function, [values, places, I32(4), is_wanted])

    def narrow(self, places: Value, kind: Kind, is_wanted: Value) -> Value:
        """Load integers of one or two bytes as four: the four aligned bytes around each, which end in no other page."""
        lanes = places.type.count
        addresses = self.ptrtoint(places, ir.VectorType(I64, lanes))
        around = self.inttoptr(self.and_(addresses, ir.Constant(addresses.type, [~3] * lanes)), places.type)
        loaded = self.gather(around, I32, is_wanted)
        skipped = self.trunc(self.and_(addresses, ir.Constant(addresses.type, [3] * lanes)), loaded.type)
        bits = self.lshr(loaded, self.shl(skipped, ir.Constant(loaded.type, [3] * lanes)))
        return self.sext(self.trunc(bits, ir.VectorType(kind, lanes)), loaded.type)

    def add_lanes(self, lanes: int) -> ir.Function:
        """Return the function that adds a vector's lanes to a number."""
        return self._intrinsic(f"llvm.vector.reduce.fadd.v{lanes}f64", F64, [F64, ir.VectorType(F64, lanes)])

    @property
    def any_lane(self) -> ir.Function:
        """The function that says whether any walker's lane is set."""
        return self._intrinsic(f"llvm.vector.reduce.or.v{WALKERS}i1", I1, [ir.VectorType(I1, WALKERS)])

    def _intrinsic(self, name: str, result: Kind, kinds: Sequence[Kind]) -> ir.Function:
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, kinds), name)

    def plus(self, one: Value, other: Value) -> Value:
        """Add, in whichever order is fastest."""
        return self.fadd(one, other, flags=MATHS)

    def times(self, one: Value, other: Value) -> Value:
        """Multiply, fused with an addition where that is faster."""
        return self.fmul(one, other, flags=MATHS)

    def loop(self, count: Value, body: Callable[..., Sequence[Value]], *first: Value) -> list[Value]:
        """Run `body(index, *carried)` `count` times; return what the last run carried on, or `first` without any."""
        before = self.block
        head, run, after = (self.append_basic_block() for _ in range(3))
        self.branch(head)
        self.position_at_end(head)
        index, *carried = (self.phi(kind) for kind in (I64, *(value.type for value in first)))
        for phi, value in zip((index, *carried), (I64(0), *first), strict=True):
            phi.add_incoming(value, before)
        self.cbranch(self.icmp_unsigned("<", index, count), run, after)
        self.position_at_end(run)
        given = body(index, *carried)
        for phi, value in zip((index, *carried), (self.add(index, I64(1)), *given), strict=True):
            phi.add_incoming(value, self.block)
        self.branch(head)
        self.position_at_end(after)
        return carried


def _lanes(value: float) -> Value:
    return ir.Constant(ir.VectorType(F64, LANES), [value] * LANES)


def _function(module: ir.Module, name: str, kinds: Sequence[Kind]) -> tuple[_Code, Sequence[Value]]:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    return _Code(function.append_basic_block()), function.args


def _add_walk(module: ir.Module) -> None:
    """Add walk_trees and walk_rows(*nodes, value, roots, trees, rows, row_count, width, sums).

    `sums`, shape (rows, 2), grows by each leaf's value, and by 1 for each leaf whose value is 0.5 or more. The first
    takes sixteen trees at a time for each row, the second sixteen rows at a time for each tree: for one row, and for
    many. What remains of sixteen is walked by lanes that count for nothing.
    """
    for name, pack in (("walk_trees", _pack_of_trees), ("walk_rows", _pack_of_rows)):
        kinds = [*[POINTER] * 7, I64, POINTER, I64, I64, POINTER]
        code, arguments = _function(module, name, kinds)
        pack(_Walk(code, *arguments))
        code.ret_void()


class _Walk:
    """A walk's arguments, and its steps on WALKERS lanes, each with a tree and a row of its own."""

    def __init__(self, code: _Code, *arguments: Value) -> None:
        self.code = code
        self.feature, self.threshold, self.left, self.right, self.missing_goes_left, self.value = arguments[:6]
        self.roots, self.trees, self.rows, self.row_count, self.width, self.sums = arguments[6:]

    def lanes_below(self, first: Value, count: Value) -> Value:
        """Return which of the WALKERS numbers from `first` on are below `count`."""
        numbers = self.code.add(
            self.code.spread(first, WALKERS), ir.Constant(ir.VectorType(I64, WALKERS), list(range(WALKERS)))
        )
        return self.code.icmp_unsigned("<", numbers, self.code.spread(count, WALKERS))

    def leaves(self, roots: Value, row: Value, offsets: Value, is_wanted: Value) -> tuple[Value, Value]:
        """Return the values at the ends of rows that begin `offsets` floats behind `row`, and 1 for each of 0.5 up."""
        code, kind = self.code, ir.VectorType(F64, WALKERS)
        given = code.gather(code.places(self.value, self._ends(roots, row, offsets, is_wanted), F64), F64, is_wanted)
        votes = code.and_(is_wanted, code.fcmp_ordered(">=", given, ir.Constant(kind, [0.5] * WALKERS)))
        return given, code.uitofp(votes, kind)

    def _ends(self, roots: Value, row: Value, offsets: Value, is_wanted: Value) -> Value:
        """Step down until every lane that is wanted stands at a leaf."""
        code, before = self.code, self.code.block
        step, after = code.append_basic_block(), code.append_basic_block()
        code.branch(step)
        code.position_at_end(step)
        at = code.phi(roots.type)
        at.add_incoming(roots, before)
        column = code.narrow(code.places(self.feature, at, I16), I16, is_wanted)
        is_inner = code.and_(is_wanted, code.icmp_signed(">=", column, ir.Constant(column.type, [0] * WALKERS)))
        following = self._children(at, row, code.add(offsets, column), is_inner)
        at.add_incoming(following, step)
        code.cbranch(code.call(code.any_lane, [is_inner]), step, after)
        code.position_at_end(after)
        return following

    def _children(self, at: Value, row: Value, places: Value, is_inner: Value) -> Value:
        code = self.code
        value = code.gather(code.places(row, places, F32), F32, is_inner)
        threshold = code.gather(code.places(self.threshold, at, F32), F32, is_inner)
        sent_left = code.narrow(
            code.places(self.missing_goes_left, at, I8),
            I8,
            code.and_(is_inner, code.fcmp_unordered("uno", value, value)),
        )
        goes_left = code.or_(
            code.fcmp_ordered("<=", value, threshold), code.trunc(sent_left, ir.VectorType(I1, WALKERS))
        )
        to_left = code.gather(code.places(self.left, at, I32), I32, code.and_(is_inner, goes_left), at)
        return code.gather(code.places(self.right, at, I32), I32, code.and_(is_inner, code.not_(goes_left)), to_left)


def _pack_of_trees(walk: _Walk) -> None:
    code = walk.code
    packs = code.udiv(code.add(walk.trees, I64(WALKERS - 1)), I64(WALKERS))
    nothing = ir.Constant(ir.VectorType(F64, WALKERS), [0.0] * WALKERS)

    def row(number: Value) -> Sequence[Value]:
        at = code.gep(walk.rows, [code.mul(number, walk.width)], source_etype=F32)

        def pack(number: Value, total: Value, votes: Value) -> Sequence[Value]:
            first = code.mul(number, I64(WALKERS))
            is_tree = walk.lanes_below(first, walk.trees)
            places = code.places(code.gep(walk.roots, [first], source_etype=I32), _counted(), I32)
            roots = code.gather(places, I32, is_tree)
            given, agreed = walk.leaves(roots, at, ir.Constant(roots.type, [0] * WALKERS), is_tree)
            return code.plus(total, given), code.plus(votes, agreed)

        sums = code.loop(packs, pack, nothing, nothing)
        for part, lanes in enumerate(sums):
            place = code.gep(walk.sums, [code.add(code.mul(number, I64(2)), I64(part))], source_etype=F64)
            given = code.call(code.add_lanes(WALKERS), [F64(0.0), lanes], fastmath=MATHS)
            code.store(code.fadd(code.load(place, typ=F64), given), place)
        return ()

    code.loop(walk.row_count, row)


def _pack_of_rows(walk: _Walk) -> None:
    code = walk.code
    packs = code.udiv(code.add(walk.row_count, I64(WALKERS - 1)), I64(WALKERS))
    offsets = code.mul(code.spread(code.trunc(walk.width, I32), WALKERS), _counted())

    def tree(number: Value) -> Sequence[Value]:
        root = code.spread(code.at(walk.roots, number, I32), WALKERS)

        def pack(number: Value) -> Sequence[Value]:
            first = code.mul(number, I64(WALKERS))
            is_row = walk.lanes_below(first, walk.row_count)
            at = code.gep(walk.rows, [code.mul(first, walk.width)], source_etype=F32)
            sums = code.gep(walk.sums, [code.mul(first, I64(2))], source_etype=F64)
            for part, given in enumerate(walk.leaves(root, at, offsets, is_row)):
                places = code.places(code.gep(sums, [I64(part)], source_etype=F64), _counted(step=2), F64)
                code.scatter(code.fadd(code.gather(places, F64, is_row), given), places, is_row)
            return ()

        code.loop(packs, pack)
        return ()

    code.loop(walk.trees, tree)


def _counted(step: int = 1) -> Value:
    return ir.Constant(ir.VectorType(I32, WALKERS), [step * lane for lane in range(WALKERS)])


def _add_explain(module: ir.Module) -> None:
    """Add explain(segments, groups, path_features, blocks, values, rows, row_count, width, contributions).

    `contributions`, shape (rows, width), grows by what the leaves give. `segments` holds, for each number of features,
    the first group and the one behind the last.
    """
    kinds = [*[POINTER] * 6, I64, I64, POINTER]
    kernels = [_leaf_kernel(module, features) for features in range(1, MOST_FEATURES + 1)]
    code, (segments, *others) = _function(module, "explain", kinds)
    for features, kernel in enumerate(kernels, start=1):
        first, behind = (code.at(segments, I64(2 * features + end), I64) for end in (0, 1))
        code.call(kernel, [first, code.sub(behind, first), *others])
    code.ret_void()


def _leaf_kernel(module: ir.Module, features: int) -> ir.Function:
    """Add the kernel for `count` groups from `first` on, whose leaves have so many features on their path."""
    kinds = [I64, I64, *[POINTER] * 5, I64, I64, POINTER]
    code, arguments = _function(module, f"explain_{features}", kinds)
    first, count, groups, path_features, blocks, values, rows, row_count, width, contributions = arguments

    def group(number: Value) -> Sequence[Value]:
        at = code.mul(code.add(first, number), I64(4))
        path, first_byte, first_value, block_count = (
            code.at(groups, code.add(at, I64(part)), I64) for part in range(4)
        )
        columns = [code.at(path_features, code.add(path, I64(place)), I64) for place in range(features)]
        leaves, leaf_values = code.bytes_behind(blocks, first_byte), code.gep(values, [first_value], source_etype=F64)

        def row(number: Value) -> Sequence[Value]:
            offset = code.mul(number, width)
            known = [code.spread(code.at(rows, code.add(offset, column), F32)) for column in columns]

            def block(number: Value, *sums: Value) -> Sequence[Value]:
                eight = code.bytes_behind(leaves, code.mul(number, I64(block_type(features).itemsize)))
                place = code.gep(leaf_values, [code.mul(number, I64(LANES))], source_etype=F64)
                return _with_leaves(code, eight, code.lanes_at(place, 0, F64), known, sums)

            totals = code.loop(block_count, block, *[_lanes(0.0)] * features)
            for column, total in zip(columns, totals, strict=True):
                place = code.gep(contributions, [code.add(offset, column)], source_etype=F64)
                given = code.call(code.add_lanes(LANES), [F64(0.0), total], fastmath=MATHS)
                code.store(code.fadd(code.load(place, typ=F64), given), place)
            return ()

        code.loop(row_count, row)
        return ()

    code.loop(count, group)
    code.ret_void()
    function = code.function
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function


def _with_leaves(
    code: _Code, leaves: Value, leaf_value: Value, values: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    """Return `sums` with what eight leaves give each feature on their path, where the row has `values`."""
    share = [_share(code, leaves, j) for j in range(len(values))]
    inside = [_is_inside(code, leaves, j, len(values), value) for j, value in enumerate(values)]
    ones = [code.select(one, _lanes(1.0), _lanes(0.0)) for one in inside]
    gap = [code.fsub(one, z, flags=MATHS) for one, z in zip(ones, share, strict=True)]
    integrals = _integrals(code, share, gap, leaf_value)
    return [code.plus(total, code.times(g, one)) for total, g, one in zip(sums, gap, integrals, strict=True)]


def _integrals(code: _Code, share: Sequence[Value], gap: Sequence[Value], leaf_value: Value) -> list[Value]:
    """Return, for each feature, the leaf's value times the integral over the product of all other factors."""
    integrals: list[Value] = []
    for node, weight in quadrature(len(share)):
        factors = [code.plus(z, code.times(g, _lanes(node))) for z, g in zip(share, gap, strict=True)]
        products = _products_of_others(code, factors, code.times(leaf_value, _lanes(weight)))
        integrals = [code.plus(*pair) for pair in zip(integrals, products, strict=True)] if integrals else products
    return integrals


def _products_of_others(code: _Code, factors: Sequence[Value], scale: Value) -> list[Value]:
    """Return, for each factor, `scale` times the product of all the others, without a division."""
    before = [scale]
    for factor in factors[:-1]:
        before.append(code.times(before[-1], factor))
    products, behind = [before[-1]], factors[-1]
    for product, factor in zip(reversed(before[:-1]), reversed(factors[:-1]), strict=True):
        products.append(code.times(product, behind))
        behind = code.times(behind, factor)
    return products[::-1]


def _share(code: _Code, leaves: Value, j: int) -> Value:
    return code.fpext(code.lanes_at(leaves, (12 * j + 8) * LANES, F32), ir.VectorType(F64, LANES))


def _is_inside(code: _Code, leaves: Value, j: int, features: int, value: Value) -> Value:
    """Return, per lane, whether the value lies in the interval of the path's feature j, or is unknown and let in."""
    above = code.fcmp_ordered(">", value, code.lanes_at(leaves, 12 * j * LANES, F32))
    within = code.and_(above, code.fcmp_ordered("<=", value, code.lanes_at(leaves, (12 * j + 4) * LANES, F32)))
    bits = code.at(leaves, I64(12 * features * LANES + j), I8)
    lets_in = code.bitcast(bits, ir.VectorType(I1, LANES))
    return code.or_(within, code.and_(code.fcmp_unordered("uno", value, value), lets_in))
