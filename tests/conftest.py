"""What all tests share."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid._kernels import threads


@pytest.fixture(autouse=True)
def _reproducible():
    """Every test starts from the same seed, and leaves the default dtype as it was."""
    if hasattr(lucid, "manual_seed"):
        lucid.manual_seed(0)
    yield
    lucid.set_default_dtype(lucid.float32)


@pytest.fixture(scope="session", autouse=True)
def _workers_take_part():
    """Small as the tests' arrays are, a kernel that can use several threads does so."""
    before = threads._wake_up(0)
    yield
    threads._wake_up(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")
