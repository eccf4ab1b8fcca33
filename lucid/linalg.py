"""Linear algebra on batches of matrices, with gradients."""

from lucid.errors import LinAlgError
from lucid.ops.decompositions import (
    cholesky,
    det,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    inv,
    lstsq,
    matrix_power,
    matrix_rank,
    pinv,
    qr,
    solve,
    solve_triangular,
    svd,
    svdvals,
    vander,
)
from lucid.ops.decompositions import linalg_diagonal as diagonal
from lucid.ops.decompositions import named_slogdet as slogdet
from lucid.ops.matrix import linalg_cross as cross
from lucid.ops.matrix import matmul, multi_dot
from lucid.ops.matrix import vecdot as vecdot
from lucid.ops.norms import cond, matrix_norm, norm, vector_norm

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "vander",
    "vecdot",
    "vector_norm",
]
