"""The engine that scores and explains with a forest, in machine code of this processor, or in numpy without it.

`scorer` is what others use. `nodes` and `boxes` lay a forest out for it, `kernels` writes the machine code, `native`
compiles, keeps and loads it; `by_numpy` gives the same results where nothing can be compiled.
"""
