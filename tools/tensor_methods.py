"""Writes lucid/_core/_methods.pyi: what lucid/ops/methods.py attaches to Tensor, for type checkers.

To be run after a method was added::

    python tools/tensor_methods.py          writes the file
    python tools/tensor_methods.py --check  fails where it is out of date (CI)
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from lucid._core.tensor import Tensor
from lucid.ops import methods

STUB = Path(__file__).parent.parent / "lucid" / "_core" / "_methods.pyi"
WIDTH = 100

HEADER = '''"""What lucid.ops.methods attaches to Tensor. Written by tools/tensor_methods.py."""

from typing import Any

from lucid._core.tensor import Tensor

class Methods:
'''


def attached() -> dict[str, Any]:
    """Every name that a family attaches, with what it is attached as."""
    names = ["backward"]
    for family in methods.FAMILIES:
        for table in ("METHODS", "METHOD_FORMS", "OPERATORS", "PROPERTIES"):
            names += list(getattr(family, table, ()))
    return {name: Tensor.__dict__[name] for name in sorted(set(names))}


def result(function: Any) -> str:
    """Tensor where the annotation says so, else Any."""
    text = str(getattr(function, "__annotations__", {}).get("return", ""))
    return "Tensor" if text in ("Array", "Tensor", "<class 'lucid._core.tensor.Tensor'>") else "Any"


def parameters(function: Any) -> str:
    parts = ["self"]
    star = False
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if i == 0:
            continue
        default = "" if p.default is p.empty else " = ..."
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            star = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
        else:
            if p.kind is p.KEYWORD_ONLY and not star:
                parts.append("*")
                star = True
            parts.append(f"{p.name}: Any{default}")
    return ", ".join(parts)


def declaration(name: str, given: str, returned: str) -> list[str]:
    """A method's lines, broken where the formatter breaks them."""
    line = f"    def {name}({given}) -> {returned}: ..."
    if len(line) <= WIDTH:
        return [line]
    middle = [f"        {given}"]
    if len(middle[0]) > WIDTH:
        middle = [f"        {part}," for part in given.split(", ")]
    return [f"    def {name}(", *middle, f"    ) -> {returned}: ..."]


def stub() -> str:
    lines: list[str] = []
    for name, value in attached().items():
        if isinstance(value, property):
            lines.append(f"    @property\n    def {name}(self) -> {result(value.fget)}: ...")
        elif name == "__setitem__":
            lines.append(f"    def {name}(self, key: Any, value: Any) -> None: ...")
        elif name.startswith("__"):
            others = parameters(value).count(",")
            operands = "".join(f", other{i or ''}: Any" for i in range(min(others, 1)))
            ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            lines.append(f"    def {name}(self{operands}) -> Tensor: ...{ignore}")
        else:
            # NumPy's spellings and PyTorch's further keywords are bound by name at the call.
            given = parameters(value)
            more = "" if "**" in given else ", **kwargs: Any"
            lines += declaration(name, given + more, result(value))
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    text = stub()
    if "--check" in sys.argv:
        if not STUB.exists() or STUB.read_text() != text:
            print(f"{STUB.name} is out of date: run python tools/tensor_methods.py")
            return 1
        return 0
    STUB.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
