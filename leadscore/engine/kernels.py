"""The engine's machine code, written as LLVM's intermediate representation: one function that scores and explains.

`walk_kernel`, `rank_kernel` and `explain_kernel` hold its parts. Sums may be reordered and fused with products, which
moves a result by its last bits. That a value is never unknown or infinite is not assumed: thresholds are infinite, and
the test for an unknown value must not be optimised away.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from leadscore.engine.explain_kernel import SUMS, add_explain
from leadscore.engine.ir_builder import F32, F64, I16, I64, POINTER, Code, Value, new_function
from leadscore.engine.rank_kernel import add_rank
from leadscore.engine.walk_kernel import add_walk

# what a model is to the kernels: these numbers, 64 bits each, of which the first eleven are addresses
MODEL = (
    *("words", "node_values", "roots", "segments", "groups", "path_features", "blocks", "lets_unknown", "leaf_values"),
    *("thresholds", "threshold_starts", "packs", "depth", "trees", "features"),
)
_ADDRESSES = 11
# rows that are explained together, so that their sums and ranks stay near
ROWS_TOGETHER = 16
CACHE_LINE_BYTES = 64


def module_text() -> str:
    """Return the module with `score`, as LLVM reads it."""
    module = ir.Module("leadscore")
    _add_score(module, add_walk(module), add_rank(module), add_explain(module))
    return str(module)


def _add_score(module: ir.Module, walk: ir.Function, rank: ir.Function, explain: ir.Function) -> None:
    """Add score(model, rows, row_count, width, verdicts, contributions), where both results begin as zeros.

    `verdicts`, shape (rows, 2), becomes each row's probability and how many trees agree with a conversion;
    `contributions`, shape (rows, width), its contributions. Either may be no address, and is not computed then.
    """
    kinds = [POINTER, POINTER, I64, I64, POINTER, POINTER]
    code, (model, rows, row_count, width, verdicts, contributions) = new_function(module, "score", kinds)
    words, node_values, roots, *boxes, thresholds, starts, packs, depth, trees, features = (
        code.at(model, I64(place), POINTER if place < _ADDRESSES else I64) for place in range(len(MODEL))
    )
    share = code.uitofp(trees, F64)
    with code.if_then(_is_wanted(code, verdicts)):
        code.call(walk, [words, node_values, roots, packs, depth, rows, row_count, width, verdicts])
        _divide_each(code, verdicts, row_count, share, step=2)
    with code.if_then(_is_wanted(code, contributions)):
        most = code.mul(features, I64(ROWS_TOGETHER))
        ranks, sums = code.alloca(I16, most), code.alloca(F64, code.mul(most, I64(SUMS)))
        # where vectors lie across two cache lines, as all of these would, a row takes 44 µs in place of 33
        sums.align = CACHE_LINE_BYTES

        def some(number: Value) -> Sequence[Value]:
            first = code.mul(number, I64(ROWS_TOGETHER))
            count = code.at_most(code.sub(row_count, first), ROWS_TOGETHER)
            offset = code.mul(first, width)
            row, given = (code.gep(a, [offset], source_etype=k) for a, k in ((rows, F32), (contributions, F64)))
            code.call(rank, [thresholds, starts, features, row, count, width, ranks])
            code.call(explain, [*boxes, ranks, count, features, sums, given, width])
            return ()

        code.loop(code.in_parts(row_count, ROWS_TOGETHER), some)
        _divide_each(code, contributions, code.mul(row_count, width), share, step=1)
    code.ret_void()


def _is_wanted(code: Code, place: Value) -> Value:
    return code.icmp_unsigned("!=", code.ptrtoint(place, I64), I64(0))


def _divide_each(code: Code, numbers: Value, count: Value, divisor: Value, *, step: int) -> None:
    def divide(number: Value) -> Sequence[Value]:
        place = code.gep(numbers, [code.mul(number, I64(step))], source_etype=F64)
        code.store(code.fdiv(code.load(place, typ=F64), divisor), place)
        return ()

    code.loop(count, divide)
