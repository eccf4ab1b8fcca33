"""How Sphinx builds these pages: ``sphinx-build -W docs docs/_build``."""

import pkgutil
from pathlib import Path

import lucid

project = "lucid"
author = "the lucid authors"
copyright = "2026, the lucid authors"
version = release = lucid.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lucid"
html_static_path = ["_static"]

autodoc_typehints = "none"  # the signatures have them
autodoc_member_order = "groupwise"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False

# -------------------------------------------------------------------- the API reference

GENERATED = Path(__file__).parent / "api" / "generated"
PACKAGES = ("nn", "optim", "autograd", "data")
MODULES = ("linalg", "random", "io", "datasets", "errors", "config")


def public_modules() -> list[str]:
    """The public modules, and the families of operations, each of which gets a page."""
    found = ["lucid._core.tensor", "lucid._core.dtype", "lucid._core.grad_mode"]
    # Some families have a public namespace of their own, and a page with it.
    namespaces = {"decompositions", "random", "methods"}
    families = [family for family in _children("lucid.ops") if family not in namespaces]
    found += [f"lucid.ops.{family}" for family in families]
    found += [f"lucid.{name}" for name in MODULES]
    for package in PACKAGES:
        found += [f"lucid.{package}"] if package in ("autograd", "data") else []
        if package not in ("autograd", "data"):
            found += [f"lucid.{package}.{name}" for name in _children(f"lucid.{package}")]
    return found


def _children(package: str) -> list[str]:
    path = [str(Path(lucid.__file__).parent.joinpath(*package.split(".")[1:]))]
    return [
        module.name[len(package) + 1 :]
        for module in pkgutil.walk_packages(path, f"{package}.")
        if not module.ispkg and not module.name.rpartition(".")[2].startswith("_")
    ]


def write_pages() -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for old in GENERATED.glob("*.md"):
        old.unlink()
    for module in public_modules():
        title = module.replace("lucid._core.", "lucid.").replace("lucid.ops.", "lucid: ")
        # What is documented with another module.
        excluded = "   :exclude-members: LinAlgError\n" if module == "lucid.linalg" else ""
        text = f"# {title}\n\n```{{eval-rst}}\n.. automodule:: {module}\n{excluded}```\n"
        (GENERATED / f"{module}.md").write_text(text)


write_pages()
