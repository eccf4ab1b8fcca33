"""What installing and importing lucid does, and what it leaves alone."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lucid

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE = Path(lucid.__file__).parent


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def distribution() -> importlib.metadata.Distribution | None:
    """The installed package, if that is what runs here and not a source tree."""
    for found in importlib.metadata.distributions(name=PROJECT["name"]):
        if Path(found.locate_file("lucid")) == PACKAGE:
            return found
    return None


# ------------------------------------------------------------------ what is installed


def test_version():
    assert lucid.__version__ == PROJECT["version"]
    found = distribution()
    assert found is None or found.version == PROJECT["version"]


def test_typed():
    assert (PACKAGE / "py.typed").is_file()
    for source in sorted(PACKAGE.rglob("*.pyx")):
        assert source.with_suffix(".pyi").is_file(), f"{source.name} has no type stub"


def test_numpy_is_the_only_run_time_dependency():
    assert [name.split(">")[0] for name in PROJECT["dependencies"]] == ["numpy"]


def test_installed_files():
    found = distribution()
    if found is None or (PACKAGE.parent / "setup.py").exists():
        pytest.skip("lucid runs from its source tree here, not from an installed package")
    files = [Path(str(file)) for file in found.files or []]
    tops = {file.parts[0] for file in files}
    assert tops == {"lucid", f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}.dist-info"}
    # Sources of kernels are of no use there, except what other extensions may build on.
    assert {file.suffix for file in files if file.parts[0] == "lucid"} <= {
        ".py", ".pyc", ".pyi", ".pxd", ".so", ".pyd", ".npz", ".typed", "",
    }  # fmt: skip
    size = sum(Path(found.locate_file(file)).stat().st_size for file in files)
    assert size < 10_000_000


# ------------------------------------------------------------------ what importing does

STATE = """
import faulthandler, json, locale, os, signal, sys, threading, warnings
import numpy as np

def state():
    tiny = np.float32(1e-40)
    return {
        "environment": dict(os.environ),
        "random state": [str(x) for x in np.random.get_state()],
        "floating-point errors": np.geterr(),
        "print options": {k: str(v) for k, v in np.get_printoptions().items()},
        "subnormals": [float(tiny * np.float32(0.5)), 5e-324 * 1.0, float(np.float64(5e-324) / 1)],
        "rounding": 1.0 + 2.0**-53,
        "warnings": [str(f) for f in warnings.filters],
        "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "threads": threading.active_count(),
        "system threads": len(os.listdir("/proc/self/task")) if os.path.exists("/proc") else 0,
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "folder": os.getcwd(),
    }

import random
random.seed(0)
before, expected = state(), random.getstate()
import lucid
assert random.getstate() == expected
print(json.dumps([before, state()]))
"""


def test_importing_changes_no_global_state():
    before, after = json.loads(run(STATE))
    assert before["subnormals"][0] != 0, "the test itself runs with subnormals flushed to zero"
    assert after == before


def test_importing_brings_the_public_namespaces():
    program = "import lucid; print([hasattr(lucid, name) for name in {names!r}.split()])"
    names = "nn optim random linalg autograd data datasets errors save load"
    assert run(program.format(names=names)) == f"{[True] * len(names.split())}\n"


def test_importing_brings_nothing_heavy():
    program = (
        "import sys, numpy; before = set(sys.modules); import lucid; "
        "print(*(set(sys.modules) - before))"
    )
    heavy = {"matplotlib", "tqdm", "torch", "multiprocessing", "asyncio", "unittest", "sqlite3"}
    assert not heavy & set(run(program).split())


def test_import_time(record_property):
    """Reported, not asserted: on a shared machine a time means little."""
    program = (
        "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import lucid;"
        "print(b - a, time.perf_counter() - b)"
    )
    numpy, own = zip(*(map(float, run(program).split()) for _ in range(5)), strict=True)
    record_property("import_ms", {"numpy": min(numpy) * 1e3, "lucid": min(own) * 1e3})
    print(f"import: numpy {min(numpy) * 1e3:.0f} ms, lucid {min(own) * 1e3:.0f} ms more")


# ------------------------------------------------------------------ building


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the source tree")
@pytest.mark.parametrize("name", ["engine", "op", "tape"])
def test_what_is_compiled_is_the_source(name):
    compiled = Path(importlib.import_module(f"lucid._core.{name}").__file__)
    if compiled.suffix == ".py":
        pytest.skip("a debug build leaves it to the interpreter")
    for source in compiled.parent.glob(f"{name}.p[yx]*"):
        assert source.suffix == ".pyi" or source.stat().st_mtime <= compiled.stat().st_mtime, (
            f"{source} is newer than {compiled}: "
            "build again (python setup.py -q build_ext --inplace)"
        )


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the source tree")
def test_without_a_compiler_the_error_says_what_to_install(tmp_path):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools", minversion="77")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    kernels = tmp_path / "lucid" / "_kernels"
    kernels.mkdir(parents=True)
    (kernels.parent / "__init__.py").touch()
    shutil.copytree(ROOT / "lucid" / "_core", kernels.parent / "_core")
    for source in (ROOT / "lucid" / "_kernels").iterdir():
        # The smallest kernel will do.
        if source.suffix in (".h", ".pxd") or source.name in ("__init__.py", "threads.pyx"):
            shutil.copy(source, kernels)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path, env=os.environ | {"CC": "/nonexistent/cc"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "the C compiler '/nonexistent/cc' does not work here" in done.stderr
    assert "apt-get install gcc" in done.stderr
    assert "Traceback" not in done.stderr
