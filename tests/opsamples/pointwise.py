"""Rows of element-wise operations."""

import numpy as np

from tests.opsamples import Sample, positive

SAMPLES = [
    Sample("add", ((2, 3), (3,)), numpy=np.add, torch="add", dtypes="fiuc"),
    Sample("mul", ((2, 3), (2, 1)), numpy=np.multiply, torch="mul", dtypes="fiubc"),
    Sample("div", ((2, 3), positive((3,))), numpy=np.true_divide, torch="div", dtypes="fc"),
    Sample("exp", ((2, 3),), numpy=np.exp, torch="exp", dtypes="fc"),
]
