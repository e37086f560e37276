"""The engine's machine code, written as LLVM's intermediate representation: one function that scores and explains.

`walk_kernel`, `rank_kernel` and `explain_kernel` hold its parts. Sums may be reordered and fused with products, which
moves a result by its last bits. That a value is never unknown or infinite is not assumed: thresholds are infinite, and
the test for an unknown value must not be optimised away.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from leadscore.engine.code import F64, I64, POINTER, Code, Value, new_function
from leadscore.engine.explain_kernel import add_explain
from leadscore.engine.rank_kernel import add_rank
from leadscore.engine.walk_kernel import add_walk

# what a model is to the kernels: these numbers, 64 bits each, of which the first ten are addresses
MODEL = (
    *("words", "node_values", "roots"),
    *("segments", "groups", "path_features", "blocks", "leaf_values", "thresholds", "threshold_starts"),
    *("packs", "depth", "trees", "features"),
)
_ADDRESSES = 10


def module_text() -> str:
    """Return the module with `score`, as LLVM reads it."""
    module = ir.Module("leadscore")
    _add_score(module, add_walk(module), add_rank(module), add_explain(module))
    return str(module)


def _add_score(module: ir.Module, walk: ir.Function, rank: ir.Function, explain: ir.Function) -> None:
    """Add score(model, rows, row_count, width, verdicts, ranks, contributions), where both results begin as zeros.

    `verdicts`, shape (rows, 2), becomes each row's probability and how many trees agree with a conversion;
    `contributions`, shape (rows, width), its contributions; `ranks` is room for as many uint16. Either
    result may be no address, and is not computed then.
    """
    kinds = [POINTER, POINTER, I64, I64, *[POINTER] * 3]
    code, (model, rows, row_count, width, verdicts, ranks, contributions) = new_function(module, "score", kinds)
    words, node_values, roots, *boxes, thresholds, starts, packs, depth, trees, features = (
        code.at(model, I64(place), POINTER if place < _ADDRESSES else I64) for place in range(len(MODEL))
    )
    table = (rows, row_count, width)
    share = code.uitofp(trees, F64)
    with code.if_then(_is_wanted(code, verdicts)):
        code.call(walk, [words, node_values, roots, packs, depth, *table, verdicts])
        _divide_each(code, verdicts, row_count, share, step=2)
    with code.if_then(_is_wanted(code, contributions)):
        code.call(rank, [thresholds, starts, features, *table, ranks])
        code.call(explain, [*boxes, ranks, row_count, width, contributions])
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
