"""Machine code for probabilities: rows are sent down the trees, `nodes` has what is read on the way.

A pack is sixteen trees, one per lane of a vector: the memory's latency in one is hidden by the others, and so few
nodes stay in the nearest cache while all rows go down a pack, four rows at a time. Every step loads by lane (a gather),
the words and then the rows' values, which processors without such loads do one by one. All lanes take as many steps as
the deepest tree has levels; asking whether all have arrived takes longer for trees of one depth, and hardly less for
others. For forests of 100 trees of depth 10 this is 0.9 µs a row, against 1.4 for one row at a time, and 5 for arrays
of features, thresholds and children of their own; selecting the values by a permutation of registers, which only some
processors have, would make it 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from leadscore.engine.code import F32, F64, I16, I32, I64, MATHS, POINTER, Code, Value, new_internal_function
from leadscore.engine.nodes import AGREEMENT, FEATURE_BITS, LEFT_SHIFT, MISSING_BIT, WALKERS

ROWS_TOGETHER = 4


def add_walk(module: ir.Module) -> ir.Function:
    """Add and return walk(words, values, roots, packs, depth, rows, row_count, width, sums).

    `sums`, shape (rows, 2), grows by each leaf's value, and by 1 for each leaf whose value is AGREEMENT or more.
    """
    kinds = [*[POINTER] * 3, I64, I64, POINTER, I64, I64, POINTER]
    code, arguments = new_internal_function(module, "walk", kinds)
    _Walk(code, *arguments).all_packs()
    code.ret_void()
    return code.function


class _Walk:
    """A walk's arguments, and its steps on WALKERS lanes."""

    def __init__(self, code: Code, *arguments: Value) -> None:
        self.code = code
        self.words, self.values, self.roots, self.packs, self.depth = arguments[:5]
        self.rows, self.row_count, self.width, self.sums = arguments[5:]

    def all_packs(self) -> None:
        code = self.code
        together = code.udiv(self.row_count, I64(ROWS_TOGETHER))
        alone = code.mul(together, I64(ROWS_TOGETHER))

        def pack(number: Value) -> Sequence[Value]:
            first = code.gep(self.roots, [code.mul(number, I64(WALKERS))], source_etype=I32)
            roots = code.load(first, typ=ir.VectorType(I32, WALKERS), align=4)

            def four(number: Value) -> Sequence[Value]:
                return self._send(roots, code.mul(number, I64(ROWS_TOGETHER)), ROWS_TOGETHER)

            def one(number: Value) -> Sequence[Value]:
                return self._send(roots, code.add(alone, number), 1)

            code.loop(together, four)
            code.loop(code.sub(self.row_count, alone), one)
            return ()

        code.loop(self.packs, pack)

    def _send(self, roots: Value, first: Value, count: int) -> Sequence[Value]:
        """Send `count` rows, from the row `first` on, down the trees below `roots`."""
        code = self.code
        numbers = [code.add(first, I64(place)) for place in range(count)]
        rows = [code.gep(self.rows, [code.mul(number, self.width)], source_etype=F32) for number in numbers]

        def level(_: Value, *places: Value) -> Sequence[Value]:
            return [self._below(at, row) for at, row in zip(places, rows, strict=True)]

        for number, end in zip(numbers, code.loop(self.depth, level, *[roots] * count), strict=True):
            self._count(number, code.gather(self.values, end, F64))
        return ()

    def _below(self, at: Value, row: Value) -> Value:
        """Return where a row goes from the nodes `at`."""
        code = self.code
        halves = code.bitcast(code.gather(self.words, at, I64), ir.VectorType(I32, 2 * WALKERS))
        threshold, rest = (_every_other(code, halves, start) for start in (0, 1))
        value = code.gather(row, code.and_(rest, _all(I32, FEATURE_BITS)), F32)
        is_above_or_unknown = code.fcmp_unordered(">", value, code.bitcast(threshold, ir.VectorType(F32, WALKERS)))
        sends_unknown_left = code.icmp_unsigned("!=", code.and_(rest, _all(I32, MISSING_BIT)), _all(I32, 0))
        is_sent_left = code.and_(code.fcmp_unordered("uno", value, value), sends_unknown_left)
        goes_right = code.and_(is_above_or_unknown, code.not_(is_sent_left))
        return code.add(code.lshr(rest, _all(I32, LEFT_SHIFT)), code.zext(goes_right, ir.VectorType(I32, WALKERS)))

    def _count(self, row: Value, values: Value) -> None:
        code = self.code
        agreeing = code.bitcast(code.fcmp_ordered(">=", values, _all(F64, AGREEMENT)), I16)
        total = code.call(code.add_lanes(WALKERS), [F64(0.0), values], fastmath=MATHS)
        for part, given in enumerate((total, code.uitofp(code.ctpop(agreeing), F64))):
            place = code.gep(self.sums, [code.add(code.mul(row, I64(2)), I64(part))], source_etype=F64)
            code.store(code.fadd(code.load(place, typ=F64), given), place)


def _all(kind: Value, value: float) -> Value:
    return ir.Constant(ir.VectorType(kind, WALKERS), [value] * WALKERS)


def _every_other(code: Code, halves: Value, start: int) -> Value:
    undefined = ir.Constant(halves.type, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(I32, WALKERS), list(range(start, 2 * WALKERS, 2)))
    return code.shuffle_vector(halves, undefined, lanes)
