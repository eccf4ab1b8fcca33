"""Rows of lucid.ops.random: what an in-place draw records."""

import numpy as np

from lucid.ops.random import redraw
from tests.opsamples import Sample

SAMPLES = [
    Sample(
        "redraw",
        ((2, 3),),
        call=lambda x: redraw(x, np.ones(x.shape, x.dtype)),
        numpy=np.ones_like,
        second=False,  # the first derivative is zero, and no function of x
    ),
]
