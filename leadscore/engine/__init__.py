"""The compiled engine: what `forest` does with numpy, done in machine code of this processor, with the same results.

`boxes` lays a forest's leaves out for it, `kernels` writes the code, `native` compiles, keeps and calls it. Nothing
else is compiled, and no compiler but LLVM's library is needed.
"""
