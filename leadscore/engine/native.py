"""The kernels as functions of this process: compiled once for its processor, kept beside the code, loaded from there.

Compiling takes one or two seconds, loading takes milliseconds. The compiled code is stored in `__pycache__`, under a
name that covers everything on which it depends; if that folder is not writable, each process compiles for itself.
Without llvmlite, or on a processor that llvmlite does not know, there are no kernels.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Float32s, Floats

SOURCES = Path(__file__).parent
KEPT_IN = SOURCES / "__pycache__"
ADDRESS, COUNT = ctypes.c_void_p, ctypes.c_int64
SCORE = (ADDRESS, ADDRESS, COUNT, COUNT, ADDRESS, ADDRESS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """The compiled function `score` of `kernels`. `keeps` holds the objects that must live as long as the function.

    `score_one` is the same function, called without releasing the GIL, because taking it again would take longer than
    scoring one row.
    """

    score: Any
    score_one: Any
    keeps: tuple[Any, ...]

    def verdicts(self, model: int, rows: Float32s) -> Floats:
        """Return, shape (rows, 2), each row's probability, and how many trees' values are 0.5 or more.

        `model` is the address of what `kernels` calls a model.
        """
        verdicts = np.zeros((len(rows), 2))
        self.score(model, address(rows), *rows.shape, address(verdicts), None)
        return verdicts

    def contributions(self, model: int, rows: Float32s) -> Floats:
        """Return the contributions, shape (rows, features)."""
        contributions = np.zeros(rows.shape)
        self.score(model, address(rows), *rows.shape, None, address(contributions))
        return contributions


def address(array: npt.NDArray[Any]) -> int:
    """Return the address of the array's first item."""
    place: int = array.__array_interface__["data"][0]
    return place


@cache
def kernels() -> Kernels | None:
    """Return the kernels for this processor, and compile them if needed; None if they cannot be compiled."""
    try:
        import llvmlite.binding as llvm  # noqa: PLC0415 (not every platform has it)

        machine = _machine(llvm)
    except (ImportError, OSError, RuntimeError) as error:
        _log.warning("scores are computed with numpy, which is slower: llvmlite cannot be used (%s)", error)
        return None
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(_code(llvm, machine)))
    engine.finalize_object()

    score = engine.get_function_address("score")
    return Kernels(ctypes.CFUNCTYPE(None, *SCORE)(score), ctypes.PYFUNCTYPE(None, *SCORE)(score), (engine, machine))


def _machine(llvm: Any) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
        reloc="pic",
        codemodel="small",
    )


def _code(llvm: Any, machine: Any) -> bytes:
    """Return the stored object code, or compile and store it."""
    path = KEPT_IN / f"kernels-{_key(llvm)}.o"
    with suppress(OSError):
        return path.read_bytes()
    code = _compile(llvm, machine)
    with suppress(OSError):
        KEPT_IN.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{secrets.token_hex(4)}")
        partial.write_bytes(code)
        partial.replace(path)
    return code


def _key(llvm: Any) -> str:
    """Return a name that covers everything on which the code depends: its source, the compiler and the processor."""
    source = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.py")))
    made_by = (
        llvm.llvm_version_info,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    )
    return hashlib.sha256(source + repr(made_by).encode()).hexdigest()[:16]


def _compile(llvm: Any, machine: Any) -> bytes:
    from leadscore.engine.kernels import module_text  # noqa: PLC0415 (needed once per processor)

    module = llvm.parse_assembly(module_text())
    module.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    code: bytes = machine.emit_object(module)
    return code
