"""Every example in the README, the documentation and the docstrings is executed."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lucid

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


class Checker(doctest.OutputChecker):
    """Allows for the last digits, which differ between instruction sets, and for line breaks."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        texts = ["".join(NUMBER.sub("#", text).split()) for text in (want, got)]
        numbers = [[float(x) for x in NUMBER.findall(text)] for text in (want, got)]
        return texts[0] == texts[1] and all(
            math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(*numbers, strict=True)
        )


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """``(line, code)`` of each block of Python in a page; indented ones (in lists) included."""
    for found in re.finditer(r"^( *)```python\n(.*?)^ *```$", page.read_text(), re.M | re.S):
        indent, code = found.groups()
        line = page.read_text()[: found.start()].count("\n") + 2
        yield line, re.sub(f"^{indent}", "", code, flags=re.M)


def run_examples(test: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(Checker(), optionflags=OPTIONS)
    runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch):
    """The blocks of a page are run one after the other, as a reader would."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for line, code in blocks(page):
        if ">>>" in code:
            test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line - 1)
            run_examples(test)
            names.update(test.globs)
        else:
            exec(compile("\n" * (line - 1) + code, page, "exec"), names)


def test_links_between_pages():
    """To files of the repository, and to headings of pages."""
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def docstrings() -> list[doctest.DocTest]:
    """Every docstring with an example in it, once, whatever other names its object has."""
    finder = doctest.DocTestFinder()
    found: dict[str, doctest.DocTest] = {}
    for info in pkgutil.walk_packages(lucid.__path__, "lucid."):
        module = importlib.import_module(info.name)
        tests = [t for t in finder.find(module, info.name, module=module) if t.name == info.name]
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", None) == info.name:
                # module=False: what a decorator made does not look as if it came from there.
                tests += finder.find(value, f"{info.name}.{name}", module=False, globs={})
        for test in tests:
            if test.examples and test.docstring not in found:
                found[test.docstring] = test
    return list(found.values())


@pytest.mark.parametrize("test", docstrings(), ids=lambda test: test.name)
def test_docstring(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test.globs.clear()
    test.globs.update(lucid=lucid)
    run_examples(test)
