"""The layers of docs/design.md: an import only ever points down."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from sys import stdlib_module_names

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lucid"

# The lowest first. A part may import the layers below its own, and itself.
LAYERS = [
    {"_kernels", "errors"},
    {"_core", "_backend"},
    {"ops", "config", "memory", "_extras"},
    {"random", "linalg", "autograd"},
    {"nn", "data"},
    {"optim", "io", "datasets"},
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

# What a part must do without although it lies below.
FORBIDDEN = {
    "_core": {"_kernels"},  # it knows arrays and no single operation
    "ops": {"_kernels"},  # which kernel computes what is for _backend to say
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(module: str) -> str:
    """``lucid.nn.layers.linear`` belongs to ``nn``."""
    return [*module.split("."), ""][1]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(tree: ast.AST, deep: bool) -> set[str]:
    """The lucid modules that a file imports; with ``deep``, those inside functions too."""
    found = set()
    stack = list(ast.iter_child_nodes(tree))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full in MODULES or node.module in ("lucid", "lucid._kernels")
                found.add(full if is_module else node.module)
        elif not is_type_checking(node) and (
            deep or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        ):
            stack.extend(ast.iter_child_nodes(node))
    return {name for name in found if name.split(".")[0] == "lucid"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "lucid"])
def test_imports_point_down(module):
    part = part_of(module)
    assert part in RANK, f"say in LAYERS where lucid.{part} belongs"
    for target in imports(ast.parse(MODULES[module].read_text()), deep=True):
        other = part_of(target)
        assert other, f"{module} imports lucid itself"
        if other == part:
            continue
        assert other in RANK, f"{module} imports {target}: say in LAYERS where it belongs"
        assert RANK[other] < RANK[part], f"{module} must not import {target}: it lies no lower"
        assert other not in FORBIDDEN.get(part, ()), f"{module} must not import {target}"


def test_no_cycles():
    graph = {
        module: imports(ast.parse(path.read_text()), deep=False) - {module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports in a circle: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.p[yx][xd]")), ids=lambda path: path.name)
def test_compiled_code_imports_its_own_part_alone(path):
    """Kernels are leaves; the compiled modules of the core know no kernel."""
    allowed = {path.parent.name, "errors"} - (
        {"errors"} if path.parent.name == "_kernels" else set()
    )
    for line in path.read_text().splitlines():
        found = re.match(r"\s*(?:from|cimport|import)\s+lucid\.(\w+)", line)
        assert found is None or found[1] in allowed, line


def test_the_package_itself_has_no_logic():
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign)), (
            f"line {node.lineno}: {ast.unparse(node)}"
        )


@pytest.mark.parametrize("module", MODULES)
def test_numpy_is_the_only_dependency(module):
    """Extras are imported by _extras.require, which says what to install."""
    known = stdlib_module_names | {"lucid", "numpy"}
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= known
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in known
