"""The examples run, and show what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lucid

ROOT = Path(__file__).parents[1]
PACKAGE = Path(lucid.__file__).parent


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def test_exploding_gradients(tmp_path):
    """With clipping more runs succeed, or the example fails; there is a picture of it."""
    pytest.importorskip("matplotlib")
    out = run("exploding_gradients.py", "--quick", "--output", tmp_path)
    assert sum("clipped" in line for line in out.splitlines()) == 2
    assert (tmp_path / "exploding_gradients.png").read_bytes().startswith(b"\x89PNG")


def test_exploding_gradients_is_reproducible(tmp_path):
    few = ("--lengths", 10, "--seeds", 1, "--updates", 150, "--no-picture")
    tables = [
        [line for line in run("exploding_gradients.py", *few).splitlines() if "clipped" in line]
        for _ in range(2)
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 3
