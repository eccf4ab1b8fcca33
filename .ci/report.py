"""Uses the installed package, and reports its size and how long importing it takes."""

import importlib.metadata
import time

start = time.perf_counter()
import numpy  # noqa: E402, F401

middle = time.perf_counter()
import lucid  # noqa: E402

end = time.perf_counter()
lucid.nn.Linear(8, 2)(lucid.randn(4, 8)).sum().backward()
files = importlib.metadata.distribution("lucid-autograd").files or []
size = sum(file.locate().stat().st_size for file in files if file.suffix != ".pyc")
print(f"installed: {len(files)} files, {size / 1e6:.1f} MB")
print(f"import: numpy {(middle - start) * 1e3:.0f} ms, lucid {(end - middle) * 1e3:.0f} ms more")
lucid.show_config()
assert size < 10e6, "the installed package must stay below 10 MB"
assert {file.suffix for file in files}.isdisjoint({".pyx", ".c", ".h"}), "no sources of kernels"
assert {file.parts[0].partition("-")[0] for file in files} == {"lucid", "lucid_autograd"}
