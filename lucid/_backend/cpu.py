"""NumPy arrays on the CPU: the reference routines, overridden by kernels where there is one."""

from lucid._backend.bags import *
from lucid._backend.convolution import *
from lucid._backend.pooling import *
from lucid._backend.reference import *
from lucid._backend.resampling import *
from lucid._backend.response_norm import *
from lucid._kernels import norms
from lucid._kernels.attention import backward as attention_backward
from lucid._kernels.attention import dropout_mask as attention_dropout_mask
from lucid._kernels.attention import forward as attention_forward
from lucid._kernels.gemm import linear, linear_backward, matmul
from lucid._kernels.indexing import add_rows, take_rows
from lucid._kernels.pointwise import *
from lucid._kernels.recurrent import backward as recurrent_backward
from lucid._kernels.recurrent import forward as recurrent_forward
from lucid._kernels.rowwise import *
from lucid._kernels.strided import concatenate, copy, embed, reshape, stack, write
