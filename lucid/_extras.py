"""Optional dependencies: imported where they are used, with an error that names the extra."""

from __future__ import annotations

import importlib
from types import ModuleType

from lucid.errors import MissingExtraError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Imports an optional dependency.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise  # it is there; something that it needs is not
        raise MissingExtraError(
            f"{purpose} needs {package}, which is not installed; "
            f"install it with: pip install 'lucid-autograd[{extra}]'",
            name=package,
        ) from None
