"""Compiles every ``lucid/**/*.pyx``, and the two Python modules that every operation passes.

Environment variables read at build time:

* ``LUCID_DEBUG=1``  bounds checks, no optimisation, assertions on; Python stays Python.
* ``LUCID_SANITIZE=address,undefined``  a debug build under those sanitizers.
* ``LUCID_MULTIVERSION=0``  leave the AVX2 and AVX-512 copies of the kernels out.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("lucid/_kernels")
TAPE = Path("lucid/_core/tape.pyx")
# Plain Python that is compiled as it stands, with the types in the .pxd beside it: a step of a
# small model is mostly its bytecode. A change takes effect with the next build.
HOT_MODULES = (Path("lucid/_core/engine.py"), Path("lucid/_core/op.py"))
SANITIZE = os.environ.get("LUCID_SANITIZE", "")
DEBUG = bool(SANITIZE) or os.environ.get("LUCID_DEBUG", "0") not in ("", "0")

# Never -ffast-math: linking with it switches the whole process to flush-to-zero on import.
FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-std=c11", "-pthread"]
FLAGS += ["-fvisibility=hidden"]
if DEBUG:
    FLAGS = ["-O1", "-g", "-UNDEBUG", "-std=c11", "-pthread"]
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
WARNINGS = ["-Wno-unused-function", "-Wno-psabi"]
LINK = ["-pthread", "-lm"]
if SANITIZE:
    LINK += [f"-fsanitize={SANITIZE}"]
if sys.platform == "linux" and not DEBUG:
    LINK += ["-Wl,-s"]

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "freethreading_compatible": False,
}

PYTHON_DIRECTIVES = {
    "language_level": "3",
    "annotation_typing": False,  # annotations are for readers and mypy
    "nonecheck": True,  # these modules see what users pass
}

MULTIVERSION_PROBE = """
#define LUCID_MULTIVERSION 1
#define LUCID_BODY "probe_body.h"
#include "each_level.h"
int main(void) {
    volatile float x[64] = {1.0f};
    return lucid_level() >= 0 && LUCID_PICK(probe)((float *)x) == 1.0f ? 0 : 1;
}
"""
PROBE_BODY = """
static float LUCID_NAME(probe)(const float *x) {
    float total = 0.0f;
    for (int i = 0; i < 64; i++) total += x[i];
    return total;
}
"""


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def runs(source: str, **headers: str) -> bool:
    """Whether ``source`` compiles, links and runs with exit code 0; only all three count."""
    with tempfile.TemporaryDirectory() as folder:
        main, program = Path(folder, "probe.c"), Path(folder, "probe")
        main.write_text(source)
        for name, text in headers.items():
            Path(folder, f"{name}.h").write_text(text)
        command = [*compiler(), "-O2", "-std=c11", f"-I{KERNELS}", f"-I{folder}", str(main)]
        try:
            built = subprocess.run([*command, "-o", str(program), "-lm"], capture_output=True)
            return built.returncode == 0 and subprocess.run([str(program)]).returncode == 0
        except OSError:
            return False


def dependencies(source: Path, found: set[Path]) -> set[Path]:
    """The headers and declarations that a kernel is compiled from, added to ``found``."""
    text = source.read_text()
    names = re.findall(r'"(\w+\.h)"', text)
    names += [f"{name}.pxd" for name in re.findall(r"lucid\._kernels\.(\w+) cimport", text)]
    for path in (KERNELS / name for name in names):
        if path not in found and path.exists():
            found.add(path)
            dependencies(path, found)
    return found


class BuildExt(build_ext):
    """Probes the compiler first, so that a missing one is one sentence and not a traceback."""

    def build_extensions(self) -> None:
        if not runs("int main(void) { return 0; }"):
            sys.exit(
                f"lucid compiles its kernels at install time, but the C compiler {compiler()[0]!r} "
                "does not work here. Install one and try again: 'apt-get install gcc python3-dev' "
                "(Debian, Ubuntu), 'dnf install gcc python3-devel' (Fedora), "
                "'xcode-select --install' (macOS), or set CC to yours (GCC or Clang)."
            )
        wanted = os.environ.get("LUCID_MULTIVERSION", "1") not in ("", "0")
        if wanted and runs(MULTIVERSION_PROBE, probe_body=PROBE_BODY):
            for extension in self.extensions:
                extension.define_macros.append(("LUCID_MULTIVERSION", "1"))
        super().build_extensions()


def kernel(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        include_dirs=[numpy.get_include(), str(KERNELS)],
        depends=sorted(map(str, dependencies(source, set()))),
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=FLAGS + WARNINGS,
        extra_link_args=LINK,
    )


def hot_module(source: Path) -> Extension:
    name = ".".join(source.with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=FLAGS + WARNINGS, extra_link_args=LINK)


# The C code of a debug build has its own folder: that of a release build would count as up to date.
c_folder = "build/debug" if DEBUG else None
extensions = cythonize(
    [kernel(source) for source in sorted(KERNELS.glob("*.pyx"))],
    compiler_directives=DIRECTIVES,
    build_dir=c_folder,
)
core = [kernel(TAPE)] if DEBUG else [kernel(TAPE), *map(hot_module, HOT_MODULES)]
extensions += cythonize(core, compiler_directives=PYTHON_DIRECTIVES, build_dir=c_folder)

setup(
    ext_modules=extensions,
    cmdclass={"build_ext": BuildExt},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
