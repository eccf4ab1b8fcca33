"""Tensors from data, from a rule, from other tensors' shapes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import as_device
from lucid._core.op import operation
from lucid._core.tape import Memory, wrap
from lucid._core.tensor import Tensor, to_array
from lucid.errors import ShapeError
from lucid.ops._dims import shape_of
from lucid.ops.pointwise import cast
from lucid.ops.shape import array_of, broadcast_to, reshape

Array = np.ndarray

# -------------------------------------------------------------------- from data


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of ``data``.

    Args:
        data: a number, nested sequences of numbers, an array or a tensor. Python floats become
            the default dtype (float32), Python ints int64, bools bool; arrays keep their dtype.
        dtype: the element type, if another.
        device: "cpu".
        requires_grad: record what is done with it.

    Raises:
        TypeError: ``data`` is not numeric.
        ValueError: ``data`` is ragged.

    Example:
        >>> lucid.tensor([[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]])
    """
    as_device(device)
    return _finish(wrap(to_array(data, dtype, "tensor", copy=True)), requires_grad)


def scalar_tensor(
    value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor of the default dtype, or another."""
    as_device(device)
    wanted = _dtype(dtype, "scalar_tensor")
    return _finish(wrap(to_array(value, wanted, "scalar_tensor", copy=True)), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ``data``, sharing its memory where that is possible, and itself if it is one."""
    as_device(device)
    if isinstance(data, Tensor):
        wanted = data.dtype if dtype is None else dtypes.as_dtype(dtype, "as_tensor")
        return data if data.dtype == wanted else cast(data, wanted)
    array = to_array(data, dtype, "as_tensor", copy=False)
    return _shared(array) if isinstance(data, np.ndarray) and array is data else wrap(array)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of ``obj``: a tensor, an array, anything with DLPack or a buffer, or Python data.

    Args:
        obj: the data.
        dtype, device, requires_grad: as for :func:`tensor`.
        copy: True: always copy; False: raise ValueError where sharing the memory is impossible;
            None: share where possible.
    """
    as_device(device)
    if copy:
        return tensor(obj, dtype, requires_grad=requires_grad)
    if isinstance(obj, Tensor):
        source = obj
    elif isinstance(obj, np.ndarray):
        source = from_numpy(obj)
    elif hasattr(obj, "__dlpack__"):
        source = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        source = frombuffer(obj, dtype=dtypes.get_default_dtype() if dtype is None else dtype)
    else:
        if copy is False:
            raise ValueError("asarray: Python data cannot be shared; got copy=False")
        return tensor(obj, dtype, requires_grad=requires_grad)
    wanted = source.dtype if dtype is None else dtypes.as_dtype(dtype, "asarray")
    if source.dtype != wanted:
        if copy is False:
            raise ValueError(f"asarray: {source.dtype} to {wanted} needs a copy; got copy=False")
        source = cast(source, wanted)
    return _finish(source, requires_grad)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: writes to either are seen by both.

    Raises:
        TypeError: it is no array, or lucid has no such dtype.

    Example:
        >>> import numpy as np
        >>> array = np.zeros(2)
        >>> x = lucid.from_numpy(array)
        >>> array[0] = 1.0
        >>> x
        tensor([1., 0.], dtype=lucid.float64)
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array; got {type(array).__name__}")
    if array.dtype not in dtypes.ALL:
        raise TypeError(f"from_numpy: lucid has no dtype for {array.dtype}")
    array = dtypes.canonical(array)
    return _shared(array if type(array) is np.ndarray else array.view(np.ndarray))


def from_dlpack(x: Any) -> Tensor:
    """A tensor on the memory of another library's array, by the DLPack protocol; no copy."""
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: x must have the method __dlpack__; got {type(x).__name__}")
    return from_numpy(np.from_dlpack(x))


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-D tensor on the memory of an object with the buffer protocol.

    Args:
        buffer: bytes, bytearray, memoryview, array.array, ...; a read-only one makes a tensor
            that refuses in-place operations.
        dtype: how to read it.
        count: how many elements; -1: all that follow.
        offset: bytes to skip.
        requires_grad: record what is done with it.
    """
    wanted = dtypes.as_dtype(dtype, "frombuffer")
    try:
        array = np.frombuffer(buffer, wanted, count, offset)
    except ValueError as error:
        raise ValueError(f"frombuffer: {error}") from None
    return _finish(_shared(array), requires_grad)


def _shared(array: np.ndarray) -> Tensor:
    """A tensor on memory that others can write to."""
    out = wrap(array)
    out._memory = Memory()
    out._memory.exported = True
    return out


def _finish(out: Tensor, requires_grad: bool) -> Tensor:
    return out.requires_grad_() if requires_grad else out


# -------------------------------------------------------------------- of one value


def _dtype(dtype: Any, caller: str) -> np.dtype:
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, caller)


def size_of(size: tuple[Any, ...], caller: str) -> tuple[int, ...]:
    """A shape from ``f(2, 3)`` or ``f((2, 3))``, no size negative."""
    if len(size) == 1 and isinstance(size[0], Tensor) and size[0].ndim == 1:
        size = (size[0].tolist(),)
    shape = shape_of(size, caller)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{caller}: sizes must not be negative; got {shape}")
    return shape


def sizes_of(sizes: tuple[Any, ...], size: Any, caller: str) -> tuple[int, ...]:
    """`size_of` where the sizes may also come as ``size=``."""
    if size is not None:
        if sizes:
            raise TypeError(f"{caller}: takes the sizes loose, or as size=, not both")
        sizes = (size,)
    return size_of(sizes, caller)


def _filled(name: str, make: Callable[..., Array], what: str) -> Any:
    def create(
        *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:  # fmt: skip
        as_device(device)
        array = make(sizes_of(sizes, size, name), _dtype(dtype, name))
        return _finish(wrap(array), requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"""A tensor {what}.

    Args:
        sizes: loose or as one sequence (``size=``).
        dtype: the default dtype, or another.
        device: "cpu".
        requires_grad: record what is done with it.

    Raises:
        ShapeError: a size is negative.
        TypeError: a size is no int.
    """
    return create


zeros = _filled("zeros", np.zeros, "of zeros")
ones = _filled("ones", np.ones, "of ones")
empty = _filled("empty", np.empty, "whose elements are whatever was in its memory")


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value everywhere; its dtype is the value's.

    Example:
        >>> lucid.full((2, 2), 7)
        tensor([[7, 7],
                [7, 7]])
    """
    as_device(device)
    return _finish(_full(size_of((size,), "full"), fill_value, dtype, "full"), requires_grad)


def _full(shape: tuple[int, ...], value: Any, dtype: Any, caller: str) -> Tensor:
    value = to_array(value, dtype, caller, copy=False)
    if value.ndim:
        raise ShapeError(f"{caller}: fill_value must be a number; got shape {value.shape}")
    return wrap(np.full(shape, value, value.dtype))


def _like(name: str, make: Callable[..., Array], what: str) -> Any:
    def create(
        x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        as_device(device)
        array = array_of(x, name)
        wanted = array.dtype if dtype is None else dtypes.as_dtype(dtype, name)
        return _finish(wrap(make(array.shape, wanted)), requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = (
        f"""A tensor {what}, in the shape and, unless ``dtype`` says otherwise, dtype of x."""
    )
    return create


zeros_like = _like("zeros_like", np.zeros, "of zeros")
ones_like = _like("ones_like", np.ones, "of ones")
empty_like = _like("empty_like", np.empty, "with whatever was in its memory")


def full_like(
    x: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value, in the shape and, unless ``dtype`` says otherwise, dtype of x."""
    as_device(device)
    array = array_of(x, "full_like")
    out = _full(array.shape, fill_value, array.dtype if dtype is None else dtype, "full_like")
    return _finish(out, requires_grad)


def _new(name: str, create: Callable[..., Tensor]) -> Any:
    def method(x: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return create(*size, dtype=x.dtype if dtype is None else dtype, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f""":func:`lucid.{create.__name__}` in this tensor's dtype."""
    return method


new_zeros, new_ones, new_empty = (
    _new(f"new_{create.__name__}", create) for create in (zeros, ones, empty)
)
new_tensor = _new("new_tensor", tensor)
new_full = _new("new_full", full)


# -------------------------------------------------------------------- ranges


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The numbers from ``start`` up to, without, ``end``.

    ``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``.
    int64 if all arguments are ints, else the default dtype.

    Example:
        >>> lucid.arange(1, 6, 2)
        tensor([1, 3, 5])
    """
    as_device(device)
    if end is None:
        start, end = 0, start
    bounds = [b.item() if isinstance(b, (Tensor, np.generic)) else b for b in (start, end, step)]
    for name, bound in zip(("start", "end", "step"), bounds, strict=True):
        if not isinstance(bound, (int, float)) or not math.isfinite(bound):
            raise ValueError(f"arange: {name} must be a finite number; got {bound!r}")
    start, end, step = bounds
    if step == 0 or (end - start) / step < 0:
        raise ValueError(
            f"arange: step must lead from start to end; got start={start}, end={end}, step={step}"
        )
    integers = all(isinstance(b, int) for b in bounds)
    wanted = dtypes.as_dtype(dtype, "arange") if dtype is not None else (
        dtypes.int64 if integers else dtypes.get_default_dtype()
    )  # fmt: skip
    if integers:
        return _finish(wrap(np.arange(start, end, step).astype(wanted, copy=False)), requires_grad)
    # As start + i * step in double precision: no error adds up.
    count = math.ceil((end - start) / step)
    return _finish(wrap((start + np.arange(count) * step).astype(wanted)), requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``steps`` numbers from ``start`` to ``end``, both included, at equal distances.

    Example:
        >>> lucid.linspace(0, 1, 5)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    as_device(device)
    out = np.linspace(_number(start), _number(end), _count(steps, "linspace"))
    return _finish(wrap(out.astype(_dtype(dtype, "linspace"))), requires_grad)


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``base`` to the powers that :func:`linspace` gives."""
    as_device(device)
    powers = np.linspace(_number(start), _number(end), _count(steps, "logspace"))
    with np.errstate(all="ignore"):
        out = np.power(float(base), powers).astype(_dtype(dtype, "logspace"))
    return _finish(wrap(out), requires_grad)


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, Tensor) else x


def _count(steps: Any, caller: str) -> int:
    try:
        count = operator.index(steps)
    except TypeError:
        raise TypeError(f"{caller}: steps must be an int; got {steps!r}") from None
    if count < 0:
        raise ValueError(f"{caller}: steps must not be negative; got {count}")
    return count


# -------------------------------------------------------------------- matrices and grids


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The ``n`` by ``m`` matrix with ones on the diagonal; ``m`` is ``n`` unless given.

    Example:
        >>> lucid.eye(2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    as_device(device)
    rows, columns = size_of((n, n if m is None else m), "eye")
    return _finish(wrap(np.eye(rows, columns, dtype=_dtype(dtype, "eye"))), requires_grad)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Rows and columns of the lower triangle of a ``row`` by ``col`` matrix, as a (2, n) tensor."""
    return _triangle_indices(np.tril_indices, row, col, offset, dtype, device, "tril_indices")


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Rows and columns of the upper triangle of a ``row`` by ``col`` matrix, as a (2, n) tensor."""
    return _triangle_indices(np.triu_indices, row, col, offset, dtype, device, "triu_indices")


def _triangle_indices(
    indices: Any, row: int, col: int, offset: int, dtype: Any, device: Any, caller: str
) -> Tensor:
    as_device(device)
    rows, columns = size_of((row, col), caller)
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype, caller)
    return wrap(np.stack(indices(rows, offset, columns)).astype(wanted, copy=False))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of the points of a grid, one tensor per axis.

    Args:
        tensors: the axes' coordinates, 1-D or 0-d.
        indexing: "ij": the first axis runs along dim 0; "xy": along dim 1.

    Example:
        >>> rows, columns = lucid.meshgrid(lucid.arange(2), lucid.arange(3))
        >>> columns
        tensor([[0, 1, 2],
                [0, 1, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy"; got {indexing!r}')
    if any(array_of(x, "meshgrid").ndim > 1 for x in tensors):
        raise ShapeError(f"meshgrid: tensors must be 1-D; got {[x.shape for x in tensors]}")
    places = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        places[:2] = 1, 0
    shape = [0] * len(tensors)
    for place, x in zip(places, tensors, strict=True):
        shape[place] = x.numel()
    grids = []
    for place, x in zip(places, tensors, strict=True):
        line = [1] * len(tensors)
        line[place] = x.numel()
        grids.append(broadcast_to(reshape(x, tuple(line)), tuple(shape)))
    return tuple(grids)


def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of zeros with a one at the given class.

    Args:
        x: classes, integers.
        num_classes: their number; -1: one more than the largest.

    Shapes: ``(...) -> (..., num_classes)``, int64.

    Example:
        >>> lucid.nn.functional.one_hot(lucid.tensor([2, 0]))
        tensor([[0, 0, 1],
                [1, 0, 0]])
    """
    array = array_of(x, "one_hot")
    if array.dtype.kind not in "iu":
        raise TypeError(f"one_hot: x must hold integers; got {array.dtype}")
    if num_classes == -1:
        if not array.size:
            raise ValueError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(array.max()) + 1
    if array.size and array.min() < 0:
        raise ValueError(f"one_hot: classes must not be negative; got {array.min()}")
    if array.size and array.max() >= num_classes:
        raise ValueError(
            f"one_hot: classes must lie in [0, {num_classes}); got {array.min()} to {array.max()}"
        )
    return wrap((array[..., None] == np.arange(num_classes)).astype(np.int64))


# -------------------------------------------------------------------- complex numbers


def _parts(x: Array, y: Array, caller: str) -> np.dtype:
    if x.dtype is not y.dtype or x.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            f"{caller}: both arguments must be float32, or both float64; got {x.dtype}, {y.dtype}"
        )
    return dtypes.complex64 if x.dtype is dtypes.float32 else dtypes.complex128


@operation(2)
def complex(real: Array, imag: Array) -> Array:
    """Complex numbers from their real and imaginary parts.

    Example:
        >>> lucid.complex(lucid.tensor([1.0]), lucid.tensor([2.0]))
        tensor([1.+2.j], dtype=lucid.complex64)
    """
    wanted = _parts(real, imag, "complex")
    out = np.empty(np.broadcast_shapes(real.shape, imag.shape), wanted)
    out.real, out.imag = real, imag
    return out


complex.gradient(real=lambda F, g: F.real(g), imag=lambda F, g: F.imag(g))


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers from their absolute values and angles: ``abs (cos angle + i sin angle)``."""
    _parts(array_of(abs, "polar", "abs"), array_of(angle, "polar", "angle"), "polar")
    return complex(abs * angle.cos(), abs * angle.sin())


# -------------------------------------------------------------------- questions


def numel(x: Tensor) -> int:
    """How many elements ``x`` has."""
    return array_of(x, "numel").size


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(x: Tensor) -> bool:
    """Whether the dtype of ``x`` is a floating-point one."""
    return array_of(x, "is_floating_point").dtype.kind == "f"


def is_complex(x: Tensor) -> bool:
    """Whether the dtype of ``x`` is a complex one."""
    return array_of(x, "is_complex").dtype.kind == "c"


FUNCTIONS = (
    "tensor scalar_tensor as_tensor asarray from_numpy from_dlpack frombuffer zeros ones empty "
    "full zeros_like ones_like empty_like full_like arange linspace logspace eye tril_indices "
    "triu_indices meshgrid one_hot complex polar numel is_tensor "
    "is_floating_point is_complex"
).split()
METHODS = "new_zeros new_ones new_empty new_tensor new_full".split()
