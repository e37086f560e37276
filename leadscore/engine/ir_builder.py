"""A builder of LLVM's intermediate representation, with helpers for the kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from leadscore.engine.boxes import LANES

# llvmlite has no types for the checker
Value = Any
IrType = Any

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64, POINTER = ir.FloatType(), ir.DoubleType(), ir.PointerType()
# sums may be reordered and fused with products; that a value is never unknown or infinite is not assumed
MATHS = ("reassoc", "contract", "nsz")


class Code(ir.IRBuilder):  # type: ignore[misc]  # llvmlite has no types
    """A builder with the steps that the kernels repeat."""

    def at(self, array: Value, index: Value, kind: IrType) -> Value:
        """Load item `index` of an array of `kind`."""
        return self.load(self.gep(array, [index], source_etype=kind), typ=kind)

    def bytes_behind(self, array: Value, count: Value) -> Value:
        """Return the address so many bytes behind `array`."""
        return self.gep(array, [count], source_etype=I8)

    def lanes_at(self, array: Value, offset: int, kind: IrType) -> Value:
        """Load a vector that starts so many bytes behind `array`."""
        return self.load(self.bytes_behind(array, I64(offset)), typ=ir.VectorType(kind, LANES), align=4)

    def spread(self, value: Value, lanes: int = LANES) -> Value:
        """Return a vector whose lanes all hold `value`."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.insert_element(undefined, value, I32(0))
        return self.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))

    def halves(self, vector: Value) -> tuple[Value, Value]:
        """Return the vector's first lanes, and its last."""
        undefined, half = ir.Constant(vector.type, ir.Undefined), vector.type.count // 2
        kind = ir.VectorType(I32, half)
        parts = (list(range(start, start + half)) for start in (0, half))
        first, last = (self.shuffle_vector(vector, undefined, ir.Constant(kind, part)) for part in parts)
        return first, last

    def pair(self, first: Value, second: Value) -> Value:
        """Return the vector of two values."""
        nothing = ir.Constant(ir.VectorType(first.type, 2), ir.Undefined)
        return self.insert_element(self.insert_element(nothing, first, I32(0)), second, I32(1))

    def at_most(self, count: Value, most: int) -> Value:
        """Return the smaller of both."""
        return self.select(self.icmp_unsigned("<", count, I64(most)), count, I64(most))

    def in_parts(self, count: Value, most: int) -> Value:
        """Return the number of parts of at most `most` into which a number of items is divided."""
        return self.udiv(self.add(count, I64(most - 1)), I64(most))

    def add_lanes(self, lanes: int) -> ir.Function:
        """Return the function that adds a vector's lanes to a number."""
        name, kinds = f"llvm.vector.reduce.fadd.v{lanes}f64", [F64, ir.VectorType(F64, lanes)]
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(F64, kinds), name)

    def plus(self, one: Value, other: Value) -> Value:
        """Add, in whichever order is fastest."""
        return self.fadd(one, other, flags=MATHS)

    def times(self, one: Value, other: Value) -> Value:
        """Multiply, fused with an addition where that is faster."""
        return self.fmul(one, other, flags=MATHS)

    def replaced_if(
        self, condition: Value, values: Sequence[Value], replace: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """Return what `replace()` gives where the condition holds, else `values`."""
        before = self.block
        run, after = (self.append_basic_block() for _ in range(2))
        self.cbranch(condition, run, after)
        self.position_at_end(run)
        given, run = replace(), self.block
        self.branch(after)
        self.position_at_end(after)
        found = [self.phi(value.type) for value in values]
        for phi, kept, new in zip(found, values, given, strict=True):
            phi.add_incoming(kept, before)
            phi.add_incoming(new, run)
        return found

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

    def cells(self, rows: Value, columns: Value, body: Callable[[Value, Value], None]) -> None:
        """Run `body(row, column)` for each cell of a table."""

        def row(number: Value) -> Sequence[Value]:
            def cell(column: Value) -> Sequence[Value]:
                body(number, column)
                return ()

            self.loop(columns, cell)
            return ()

        self.loop(rows, row)


def lanes(value: float) -> Value:
    """Return a vector of LANES float32, all `value`."""
    return ir.Constant(ir.VectorType(F32, LANES), [value] * LANES)


def new_function(module: ir.Module, name: str, kinds: Sequence[IrType]) -> tuple[Code, Sequence[Value]]:
    """Add a function without a result; return the builder of its body, and its arguments."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    return Code(function.append_basic_block()), function.args


def new_internal_function(module: ir.Module, name: str, kinds: Sequence[IrType]) -> tuple[Code, Sequence[Value]]:
    """Add a function that only this module calls, and that is not inlined."""
    code, arguments = new_function(module, name, kinds)
    code.function.linkage = "internal"
    code.function.attributes.add("noinline")
    return code, arguments
