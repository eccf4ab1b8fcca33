"""lucid: deep learning on the CPU that you can read."""

from lucid import autograd
from lucid._core.device import device
from lucid._core.dtype import (
    bool_,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from lucid._core.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from lucid._core.tensor import Tensor
from lucid.ops import methods as _methods
from lucid.ops.comparison import *
from lucid.ops.creation import *
from lucid.ops.functions import *
from lucid.ops.indexing import *
from lucid.ops.matrix import *
from lucid.ops.pointwise import *
from lucid.ops.reduction import *
from lucid.ops.shape import *
from lucid.ops.sorting import *
