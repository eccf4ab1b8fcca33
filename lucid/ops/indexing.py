"""Indexing: NumPy's whole grammar, reading and writing; gather, scatter and their kin.

Index tensors are attributes of the operations, not inputs. Where backward will need them again
they are copied, so that a later change of an index cannot falsify a gradient.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.grad_mode import mode
from lucid._core.inplace import in_place
from lucid._core.op import operation
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor, to_array
from lucid.errors import ShapeError
from lucid.ops._dims import one_dim
from lucid.ops.pointwise import add, add_, cast, clone, div, mul
from lucid.ops.shape import array_of, broadcast_to, expand, movedim, reshape, tensor_of

Array = np.ndarray

LARGE = 4096
"""Elements from which on a view to write to costs less than it gains."""

# -------------------------------------------------------------------- x[key]


def plain_key(key: Any, keep: bool = False) -> Any:
    """An index with its tensors and lists replaced by arrays; ``keep``: by copies.

    Raises:
        IndexError: a tensor in it is neither integer nor bool.
    """
    if isinstance(key, slice):
        return _plain_slice(key)
    if key is None or key is Ellipsis or isinstance(key, int):
        return key
    if isinstance(key, tuple):
        return tuple([plain_key(k, keep) for k in key])
    if isinstance(key, Tensor):
        key = key._data
        if key.ndim == 0 and key.dtype.kind in "iu":
            return int(key)
    elif isinstance(key, (list, range)):
        key = np.asarray([k._data if isinstance(k, Tensor) else k for k in key])
        if not key.size:
            key = key.astype(np.intp)
        keep = False
    if isinstance(key, (Array, np.generic)):
        if key.dtype.kind not in "iub":
            raise IndexError(f"index: an index tensor must be integer or bool; got {key.dtype}")
        return key.copy() if keep else key
    if hasattr(key, "__index__"):
        return key.__index__()
    raise IndexError(
        "index: an index is made of ints, slices, None, Ellipsis, and integer or bool tensors, "
        f"arrays and lists; got {type(key).__name__}"
    )


def _plain_slice(key: slice) -> slice:
    """A slice whose bounds may be tensors."""
    start, stop, step = key.start, key.stop, key.step
    if isinstance(start, Tensor) or isinstance(stop, Tensor) or isinstance(step, Tensor):
        return slice(*[int(b) if isinstance(b, Tensor) else b for b in (start, stop, step)])
    return key


def is_basic(key: Any) -> bool:
    """Whether an index makes a view: ints, slices, None and Ellipsis only."""
    if isinstance(key, tuple):
        return all(is_basic(k) for k in key)
    return key is None or key is Ellipsis or isinstance(key, slice) or (
        isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_))
    )  # fmt: skip


def _one_axis(key: Any) -> tuple[int, Array] | None:
    """The axis and the index of ``x[:, :, index]``: one integer array after full slices."""
    if isinstance(key, tuple):
        *before, last = key or (None,)
        if any(not (isinstance(k, slice) and k == slice(None)) for k in before):
            return None
        axis, key = len(before), last
    else:
        axis = 0
    if isinstance(key, Array) and key.dtype.kind in "iu":
        return axis, key
    return None


def _is_mask(key: Any) -> bool:
    """Whether an index is made of at most one bool mask and basic ones: it hits nothing twice."""
    keys = key if isinstance(key, tuple) else (key,)
    masks = [
        k for k in keys if isinstance(k, (Array, np.bool_, bool)) and np.asarray(k).dtype == bool
    ]
    return len(masks) <= 1 and all(is_basic(k) or any(k is m for m in masks) for k in keys)


@operation(1, view=True)
def getitem(x: Array, key: Any) -> Array:
    """``x[key]``: a view for ints and slices, a copy for index tensors and masks.

    Raises:
        IndexError: an index is out of range, or there are too many.

    Example:
        >>> x = lucid.tensor([[1, 2], [3, 4], [5, 6]])
        >>> x[[2, 0], -1]
        tensor([6, 2])
        >>> x[x > 3]
        tensor([4, 5, 6])
    """
    where = _one_axis(key)
    try:
        if where is not None and where[0] < x.ndim:
            return np.take(x, where[1], where[0])
        out = x[key]
    except IndexError as error:
        raise IndexError(f"getitem: {error}; the tensor has shape {x.shape}") from None
    if type(out) is not Array:
        # NumPy makes a scalar of a single element; a view of it is what is meant.
        full = key if isinstance(key, tuple) else (key,)
        out = np.asarray(out) if any(k is Ellipsis for k in full) else x[(*full, Ellipsis)]
    return out


getitem.gradient(x=lambda F, g, x_shape, key: F.put(g, x_shape, key))


@operation(1)
def put(g: Array, shape: tuple[int, ...], key: Any) -> Array:
    """Gradient of :func:`getitem`: zeros of ``shape`` with ``g`` added at ``key``."""
    if is_basic(key):
        return B.embed(g, shape, key)
    out = B.zeros(shape, g.dtype)
    where = _one_axis(key)
    if where is None and _is_mask(key):
        out[key] = g
    elif where is not None and where[0] == 0:
        index = where[1]
        B.add_rows(out, index.reshape(-1), g.reshape(index.size, *shape[1:]))
    else:
        # Which element each part of g came from, as a place in memory.
        places = np.arange(out.size).reshape(shape)[key]
        B.add_rows(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    return out


put.gradient(g=lambda F, g, key: F.getitem(g, key))


@operation(2)
def setitem(x: Array, value: Array, key: Any) -> Array:
    """``x`` with ``x[key]`` replaced by ``value``, which broadcasts."""
    out = B.copy(x)
    _write(out, value, key)
    return out


def _write(x: Array, value: Any, key: Any) -> None:
    if getattr(value, "dtype", x.dtype).kind == "c" and x.dtype.kind != "c":
        raise RuntimeError(f"setitem: a complex value does not fit a tensor of dtype {x.dtype}")
    try:
        with np.errstate(all="ignore"):
            large = getattr(value, "size", 1) >= LARGE
            part = x[key] if large and is_basic(key) else None
            if type(part) is Array:
                B.write(part, value)
            else:
                x[key] = value
    except IndexError as error:
        raise IndexError(f"setitem: {error}; the tensor has shape {x.shape}") from None
    except ValueError as error:
        raise ShapeError(f"setitem: value does not fit the index: {error}") from None


def _setitem_value(F: Any, g: Any, value_shape: Any, key: Any) -> Any:
    part = F.getitem(g, key)
    if len(value_shape) > part.ndim:  # NumPy lets a value have more dimensions, of size 1
        part = F.reshape(part, (1,) * (len(value_shape) - part.ndim) + part.shape)
    return part


setitem.gradient(x=lambda F, g, key: F.setitem(g, 0.0, key), value=_setitem_value)
setitem_ = in_place(setitem, _write)


def _getitem_method(x: Tensor, key: Any) -> Tensor:
    if type(key) is slice:
        return getitem(x, _plain_slice(key))
    return getitem(x, plain_key(key, mode.recording and x._requires_grad))


def _setitem_method(x: Tensor, key: Any, value: Any) -> None:
    if not isinstance(value, Tensor):
        with np.errstate(all="ignore"):
            value = to_array(value, None, "setitem", copy=False)
            if value.dtype.kind != "c":
                value = value.astype(x._data.dtype)
    setitem_(x, value, plain_key(key, mode.recording))


def copy_(x: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Overwrites ``x`` by ``src``, broadcast and cast, and returns ``x``; the gradient goes to src.

    ``non_blocking`` is accepted and means nothing here.

    Example:
        >>> lucid.zeros(2).copy_(lucid.tensor([1, 2]))
        tensor([1., 2.])
    """
    x, src = tensor_of(x, "copy_"), tensor_of(src, "copy_", "src")
    return setitem_(x, src if src.dtype is x.dtype else cast(src, x.dtype), ...)


# -------------------------------------------------------------------- along one dimension


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The ``length`` entries of dimension ``dim`` from ``start`` on: a view.

    Raises:
        IndexError: there are not so many.
    """
    shape = array_of(x, "narrow").shape
    at = one_dim(dim, len(shape), "narrow")
    n = shape[at] if shape else 0
    start, length = operator.index(start), operator.index(length)
    first = start + n if start < 0 else start
    if not shape or length < 0 or not 0 <= first <= n or first + length > n:
        raise IndexError(
            f"narrow: start and length must lie within dim {dim} of size {n}; "
            f"got start={start}, length={length}"
        )
    return getitem(x, (slice(None),) * at + (slice(first, first + length),))


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The entry ``index`` of dimension ``dim``, which is dropped: a view."""
    shape = array_of(x, "select").shape
    if not shape:
        raise IndexError("select: a 0-d tensor has no dimension to select from")
    at = one_dim(dim, len(shape), "select")
    index = operator.index(index)
    if not -shape[at] <= index < shape[at]:
        raise IndexError(f"select: index {index} is out of range for dim {dim} of size {shape[at]}")
    return getitem(x, (slice(None),) * at + (index,))


def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Every window of ``size`` entries along ``dimension``, ``step`` apart, in a new last one.

    A copy (windows overlap, so an in-place write could not be tracked).

    Shapes: ``(..., n, ...) -> (..., (n - size) // step + 1, ..., size)``.

    Example:
        >>> lucid.arange(5).unfold(0, 3, 1)
        tensor([[0, 1, 2],
                [1, 2, 3],
                [2, 3, 4]])
    """
    shape = array_of(x, "unfold").shape
    at = one_dim(dimension, len(shape), "unfold")
    n = shape[at] if shape else 1
    if not 0 <= size <= n or step <= 0:
        raise ShapeError(
            f"unfold: size must be in [0, {n}], the size of dimension {dimension}, and step "
            f"positive; got size={size}, step={step}"
        )
    windows = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    if not shape:
        return getitem(reshape(x, (1,)), slice(size))
    return movedim(getitem(x, (slice(None),) * at + (windows,)), at + 1, -1)


def _index(index: Any, caller: str, keep: bool = True) -> Array:
    """An integer index as an array, a copy if backward may need it."""
    array = to_array(index, None, caller, copy=False)
    if array.dtype.kind not in "iu" and not (array.size == 0 and not isinstance(index, Tensor)):
        raise IndexError(f"{caller}: index must hold integers; got {array.dtype}")
    if array.dtype != np.intp:
        return array.astype(np.intp)
    return array.copy() if keep and mode.recording else array


def _rows_key(x: Tensor, dim: int, index: Any, caller: str) -> tuple[tuple[Any, ...], Array]:
    """The key that selects entries ``index`` of dimension ``dim``."""
    index = _index(index, caller)
    at = one_dim(dim, x.ndim, caller)
    if index.ndim > 1:
        raise IndexError(f"{caller}: index must have 1 dimension; got shape {index.shape}")
    index = index.reshape(-1)
    size = x.shape[at] if x.ndim else 1
    if index.size and not (index.min() >= 0 and index.max() < size):
        raise IndexError(
            f"{caller}: index must lie in [0, {size}), the range of dim {dim}; "
            f"got {index.min()} to {index.max()}"
        )
    return ((slice(None),) * at + (index,) if x.ndim else (None,)), index


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """The entries ``index`` of dimension ``dim``, in that order; a copy.

    Shapes: ``(..., n, ...), (k,) -> (..., k, ...)``.

    Example:
        >>> lucid.index_select(lucid.eye(3), 0, lucid.tensor([2, 0]))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    key, index = _rows_key(tensor_of(x, "index_select"), dim, index, "index_select")
    if x.ndim == 0:
        if index.size != 1:
            raise IndexError(f"index_select: a 0-d tensor takes one index; got {index.size}")
        return clone(x)
    return getitem(x, key)


def _index_source(
    x: Tensor, dim: int, index: Any, source: Any, caller: str
) -> tuple[tuple[Any, ...], Tensor]:
    key, index = _rows_key(tensor_of(x, caller), dim, index, caller)
    tensor_of(source, caller, "source")
    expected = list(x.shape)
    if expected:
        expected[one_dim(dim, x.ndim, caller)] = index.size
    if tuple(expected) != source.shape:
        raise ShapeError(f"{caller}: source must have shape {tuple(expected)}; got {source.shape}")
    if source.dtype != x.dtype:
        raise RuntimeError(
            f"{caller}: source must have the dtype {x.dtype} of x; got {source.dtype}"
        )
    return key, source


def index_add(x: Tensor, dim: int, index: Any, source: Tensor, alpha: float = 1) -> Tensor:
    """``x`` with ``alpha * source`` added to entries ``index`` of ``dim``, repeated ones too.

    Example:
        >>> lucid.index_add(lucid.zeros(3), 0, lucid.tensor([0, 2, 0]), lucid.ones(3))
        tensor([2., 0., 1.])
    """
    key, source = _index_source(x, dim, index, source, "index_add")
    return add(x, put(source if alpha == 1 else mul(source, alpha), x.shape, key))


def index_add_(x: Tensor, dim: int, index: Any, source: Tensor, alpha: float = 1) -> Tensor:
    """In-place :func:`index_add`."""
    key, source = _index_source(x, dim, index, source, "index_add_")
    return add_(x, put(source if alpha == 1 else mul(source, alpha), x.shape, key))


def index_copy(x: Tensor, dim: int, index: Any, source: Tensor) -> Tensor:
    """``x`` with its entries ``index`` along ``dim`` replaced by ``source``."""
    key, source = _index_source(x, dim, index, source, "index_copy")
    return setitem(x, source, key)


def index_copy_(x: Tensor, dim: int, index: Any, source: Tensor) -> Tensor:
    """In-place :func:`index_copy`."""
    key, source = _index_source(x, dim, index, source, "index_copy_")
    return setitem_(x, source, key)


def index_fill(x: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """``x`` with its entries ``index`` along ``dim`` set to ``value``, a number or a 0-d tensor."""
    return setitem(x, _fill_value(value, "index_fill"), _rows_key(x, dim, index, "index_fill")[0])


def index_fill_(x: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """In-place :func:`index_fill`."""
    return setitem_(
        x, _fill_value(value, "index_fill_"), _rows_key(x, dim, index, "index_fill_")[0]
    )


def _fill_value(value: Any, caller: str) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            f"{caller}: value must be a number or a 0-d tensor; got shape {value.shape}"
        )
    return value


def index_put(x: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """``x`` with ``x[indices]`` replaced by ``values``, or with ``values`` added to it."""
    key = plain_key(tuple(indices), mode.recording)
    if accumulate:
        return add(x, put(_spread_to(values, x, key), x.shape, key))
    return setitem(x, values, key)


def index_put_(x: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """In-place :func:`index_put`."""
    key = plain_key(tuple(indices), mode.recording)
    if accumulate:
        return add_(x, put(_spread_to(values, x, key), x.shape, key))
    return setitem_(x, values, key)


def _spread_to(values: Tensor, x: Tensor, key: Any) -> Tensor:
    shape = np.broadcast_to(np.empty(()), x.shape)[key].shape
    return values if values.shape == shape else broadcast_to(values, shape)


# -------------------------------------------------------------------- one index per element


def _flat_places(shape: tuple[int, ...], dim: int, index: Array) -> Array:
    """For each element of ``index``, the place in flat memory that it names along ``dim``."""
    if not shape:
        return index.reshape(index.shape)
    step = 1
    places: Any = 0
    for axis in range(len(shape) - 1, -1, -1):
        if axis == dim:
            places = places + index * step
        else:
            n = index.shape[axis]
            places = places + (np.arange(n) * step).reshape((n,) + (1,) * (len(shape) - 1 - axis))
        step *= shape[axis]
    return places


@operation(1)
def take_along(x: Array, dim: int, index: Array) -> Array:
    """``out[i, j, k] = x[i, index[i, j, k], k]`` for ``dim = 1``: what :func:`gather` records."""
    if x.flags.c_contiguous:
        return np.take(x.reshape(-1), _flat_places(x.shape, dim, index))
    part = tuple([slice(None if i == dim else n) for i, n in enumerate(index.shape)])
    return np.take_along_axis(x[part], index, dim) if x.ndim else x.reshape(1)[index]


take_along.gradient(x=lambda F, g, x_shape, dim, index: F.put_along(g, x_shape, dim, index))


@operation(1)
def put_along(g: Array, shape: tuple[int, ...], dim: int, index: Array) -> Array:
    """Zeros of ``shape`` with ``g`` added where ``index`` says along ``dim``."""
    out = B.zeros(shape, g.dtype)
    places = _flat_places(shape, dim, index)
    B.add_rows(out.reshape(-1), places.reshape(-1), np.ascontiguousarray(g).reshape(-1))
    return out


put_along.gradient(g=lambda F, g, dim, index: F.take_along(g, dim, index))


@operation(2)
def write_along(x: Array, src: Array, dim: int, index: Array) -> Array:
    """``x`` with ``src`` written where ``index`` says: what :func:`scatter` records."""
    out = B.copy(x)
    _write_along(out, src, dim, index)
    return out


def _write_along(x: Array, src: Array, dim: int, index: Array) -> None:
    places = _flat_places(x.shape, dim, index)
    if x.flags.c_contiguous:
        x.reshape(-1)[places] = src
    else:
        x[np.unravel_index(places, x.shape)] = src


write_along.gradient(
    x=lambda F, g, dim, index: F.write_along(g, 0.0, dim, index),
    src=lambda F, g, dim, index: F.take_along(g, dim, index),
)
write_along_ = in_place(write_along, _write_along)


def _along(x: Tensor, dim: int, index: Any, caller: str, needs: bool = True) -> tuple[int, Array]:
    """The dimension and the index of gather and scatter, checked."""
    shape = tensor_of(x, caller).shape
    index = _index(index, caller)
    at = one_dim(dim, len(shape), caller)
    if index.ndim != len(shape) and index.size:
        raise ShapeError(
            f"{caller}: index must have as many dimensions as x; got shapes {index.shape}, {shape}"
        )
    for axis, n in enumerate(index.shape):
        if axis != at and n > shape[axis] and index.size:
            raise ShapeError(
                f"{caller}: index must not be larger than x but in dim {dim}; "
                f"got shapes {index.shape} and {shape}"
            )
    size = shape[at] if shape else 1
    if index.size and not (index.min() >= 0 and index.max() < size):
        raise IndexError(
            f"{caller}: index must lie in [0, {size}), the range of dim {dim}; "
            f"got {index.min()} to {index.max()}"
        )
    return at, index


def gather(x: Tensor, dim: int, index: Any, *, sparse_grad: bool = False) -> Tensor:
    """Picks one entry along ``dim`` per element of ``index``.

    For ``dim = 1`` of 3: ``out[i, j, k] = x[i, index[i, j, k], k]``.

    Args:
        x: any tensor.
        dim: the dimension that ``index`` runs along.
        index: integers in ``[0, x.shape[dim])``; in the other dimensions at most as large as x.

    Shapes: the result has the shape of ``index``.

    Example:
        >>> lucid.gather(lucid.tensor([[1, 2], [3, 4]]), 1, lucid.tensor([[0, 0], [1, 0]]))
        tensor([[1, 1],
                [4, 3]])
    """
    return take_along(x, *_along(x, dim, index, "gather"))


def take_along_dim(x: Tensor, indices: Any, dim: int | None = None) -> Tensor:
    """:func:`gather` whose index broadcasts with ``x``; over the flattened ``x`` without ``dim``.

    Example:
        >>> x = lucid.tensor([[3.0, 1.0], [2.0, 5.0]])
        >>> lucid.take_along_dim(x, lucid.tensor([[1], [0]]), dim=1)
        tensor([[1.],
                [2.]])
    """
    index = _index(indices, "take_along_dim")
    tensor_of(x, "take_along_dim")
    if dim is None:
        return take_along(reshape(x, (-1,)), 0, index.reshape(-1))
    at = one_dim(dim, x.ndim, "take_along_dim")
    if index.ndim != x.ndim:
        raise ShapeError(
            "take_along_dim: indices must have as many dimensions as x; "
            f"got shapes {index.shape} and {x.shape}"
        )
    shape = np.broadcast_shapes(
        *[tuple(1 if i == at else n for i, n in enumerate(s)) for s in (x.shape, index.shape)]
    )
    index = np.broadcast_to(index, (*shape[:at], index.shape[at], *shape[at + 1 :]))
    size = x.shape[at]
    if index.size and not (-size <= index.min() and index.max() < size):
        raise IndexError(f"take_along_dim: indices must lie in [{-size}, {size})")
    full = (*shape[:at], size, *shape[at + 1 :])
    if x.shape != full:
        x = expand(x, full)
    return take_along(x, at, np.where(index < 0, index + size, index))


def _scatter_source(x: Tensor, index: Array, src: Any, caller: str) -> Any:
    """The part of ``src`` that goes somewhere."""
    if not isinstance(src, Tensor):
        if isinstance(src, (bool, int, float, complex)):
            return src
        raise TypeError(f"{caller}: src must be a Tensor or a number; got {type(src).__name__}")
    if src.dtype != x.dtype:
        raise RuntimeError(f"{caller}: src must have the dtype {x.dtype} of x; got {src.dtype}")
    if src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape, strict=True)):
        if not index.size:
            return wrap(np.empty(index.shape, src.dtype))
        raise ShapeError(
            f"{caller}: src must be at least as large as index in every dimension; "
            f"got shapes {src.shape} and {index.shape}"
        )
    if src.shape != index.shape:
        return getitem(src, tuple([slice(n) for n in index.shape]))
    return src


def _scatter(
    x: Tensor, dim: int, index: Any, src: Any, value: Any, reduce: Any, caller: str, write: Any
) -> Tensor:
    if (src is None) == (value is None):
        raise TypeError(f"{caller}: takes src or value, one of them")
    at, index = _along(x, dim, index, caller)
    part = _scatter_source(x, index, value if src is None else src, caller)
    if reduce is None:
        return write(x, part, at, index)
    if reduce not in ("add", "multiply"):
        raise ValueError(f'{caller}: reduce must be "add" or "multiply"; got {reduce!r}')
    if not isinstance(part, Tensor):
        part = wrap(np.full(index.shape, part, x.dtype))
    out = _reduce_along(x, at, index, part, "sum" if reduce == "add" else "prod", True)
    return out if write is write_along else setitem_(x, out, Ellipsis)


def scatter(
    x: Tensor, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """``x`` with the elements of ``src`` written where ``index`` says: undoes :func:`gather`.

    For ``dim = 1`` of 3: ``out[i, index[i, j, k], k] = src[i, j, k]``. Where an index occurs twice,
    the last one written stays.

    Args:
        x: any tensor.
        dim: the dimension that ``index`` runs along.
        index: integers in ``[0, x.shape[dim])``.
        src: a tensor at least as large as ``index``, or a number.
        value: a number, in place of ``src``.
        reduce: "add" or "multiply" into ``x`` in place of overwriting.

    Example:
        >>> lucid.scatter(lucid.zeros(2, 3), 1, lucid.tensor([[2], [0]]), 1.0)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    return _scatter(x, dim, index, src, value, reduce, "scatter", write_along)


def scatter_(
    x: Tensor, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """In-place :func:`scatter`."""
    return _scatter(x, dim, index, src, value, reduce, "scatter_", write_along_)


def scatter_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """``x`` with the elements of ``src`` added where ``index`` says, repeated ones too.

    Example:
        >>> lucid.scatter_add(lucid.zeros(3), 0, lucid.tensor([0, 2, 0]), lucid.ones(3))
        tensor([2., 0., 1.])
    """
    at, index = _along(x, dim, index, "scatter_add")
    src = _scatter_source(x, index, tensor_of(src, "scatter_add", "src"), "scatter_add")
    return add(x, put_along(src, x.shape, at, index))


def scatter_add_(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """In-place :func:`scatter_add`."""
    at, index = _along(x, dim, index, "scatter_add_")
    src = _scatter_source(x, index, tensor_of(src, "scatter_add_", "src"), "scatter_add_")
    return add_(x, put_along(src, x.shape, at, index))


_REDUCTIONS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(
    x: Tensor, dim: int, index: Any, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``x`` with the elements of ``src`` reduced into where ``index`` says.

    Args:
        x, dim, index, src: as for :func:`scatter`.
        reduce: "sum", "mean", "prod", "amax" or "amin".
        include_self: whether what was in ``x`` takes part.

    Gradients: ties of amax and amin share the gradient evenly. Those of "prod" divide by the
    factors, so a factor of 0 gets a NaN.
    """
    at, index = _along(x, dim, index, "scatter_reduce")
    src = _scatter_source(x, index, tensor_of(src, "scatter_reduce", "src"), "scatter_reduce")
    return _reduce_along(x, at, index, src, reduce, include_self)


def _reduce_along(
    x: Tensor, dim: int, index: Array, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    if reduce not in ("sum", "mean", *_REDUCTIONS):
        raise ValueError(
            'scatter_reduce: reduce must be "sum", "mean", "prod", "amax" or "amin"; '
            f"got {reduce!r}"
        )
    if reduce in _REDUCTIONS:
        return reduce_along(x, src, dim, index, reduce, include_self)
    kept = x if include_self else write_along(x, 0, dim, index)
    total = add(kept, put_along(src, x.shape, dim, index))
    if reduce == "sum":
        return total
    ones = np.ones(index.shape, x.dtype)
    count = put_along.op.forward(ones, x.shape, dim, index) + int(include_self)
    mean = div(total, wrap(np.maximum(count, 1).astype(x.dtype)))
    return mean if x.dtype.kind in "fc" else mean.floor().to(x.dtype)


@operation(2)
def reduce_along(
    x: Array, src: Array, dim: int, index: Array, reduce: str, include_self: bool
) -> Array:
    """What :func:`scatter_reduce` records for "prod", "amax" and "amin"."""
    out = x.copy()
    flat = out.reshape(-1)
    places = _flat_places(out.shape, dim, index).reshape(-1)
    if not include_self:
        if reduce == "prod":
            flat[places] = 1
        else:
            flat[places] = src.reshape(-1)  # one of them: it takes part anyway
    with np.errstate(all="ignore"):
        _REDUCTIONS[reduce].at(flat, places, src.reshape(-1))
    return out


@reduce_along.gradient
def _reduce_along_rule(
    F: Any, g: Any, x: Any, src: Any, out: Any, dim: Any, index: Any,
    reduce: Any, include_self: Any, x_shape: Any,
) -> Any:  # fmt: skip
    taken = F.take_along(out, dim, index)
    if reduce == "prod":
        to_src = F.div(F.mul(F.take_along(g, dim, index), taken), src)
        if not include_self:
            return F.write_along(g, 0.0, dim, index), to_src
        ones = F.add(F.zeros(x_shape, g.dtype), 1.0)
        return F.mul(g, F.reduce_along(ones, src, dim, index, "prod", True)), to_src
    won = F.cast(F.eq(src, taken), g.dtype)
    kept = F.cast(F.eq(x, out), g.dtype)
    if not include_self:
        kept = F.write_along(kept, 0.0, dim, index)
    count = F.add(F.put_along(won, x_shape, dim, index), kept)
    share = F.div(g, F.maximum(count, 1.0))
    own = F.mul(share, kept) if include_self else F.write_along(g, 0.0, dim, index)
    return own, F.mul(won, F.take_along(share, dim, index))


# -------------------------------------------------------------------- flat indices and masks


def take(x: Tensor, index: Any) -> Tensor:
    """The elements at ``index`` of the flattened tensor, in the shape of ``index``.

    Example:
        >>> lucid.take(lucid.tensor([[1, 2], [3, 4]]), lucid.tensor([3, 0]))
        tensor([4, 1])
    """
    index = _index(index, "take")
    flat = reshape(tensor_of(x, "take"), (-1,))
    _check_flat(index, x, "take")
    return getitem(flat, index)


def _check_flat(index: Array, x: Tensor, caller: str) -> None:
    size = x._data.size
    if index.size and not (-size <= index.min() and index.max() < size):
        raise IndexError(
            f"{caller}: index must lie in [{-size}, {size}); got {index.min()} to {index.max()}"
        )


def put_(x: Tensor, index: Any, source: Tensor, accumulate: bool = False) -> Tensor:
    """Writes, or adds, ``source`` at the flat places ``index``, in place."""
    index = _index(index, "put_")
    _check_flat(index, x, "put_")
    if tensor_of(source, "put_", "source")._data.size != index.size:
        raise ShapeError(
            f"put_: source must have as many elements as index; got {source.shape}, {index.shape}"
        )
    size = x._data.size
    key = np.unravel_index(np.where(index < 0, index + size, index).reshape(-1), x.shape or (1,))
    key = key if x.ndim else (Ellipsis,)
    values = reshape(source, (-1,) if x.ndim else ())
    return add_(x, put(values, x.shape, key)) if accumulate else setitem_(x, values, key)


def _mask(mask: Any, caller: str) -> Array:
    array = to_array(mask, None, caller, copy=False)
    if array.dtype.kind != "b":
        raise RuntimeError(f"{caller}: mask must be bool; got {array.dtype}")
    return array.copy() if mode.recording else array


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements of ``x`` where ``mask`` is True, in one dimension; the two broadcast.

    Example:
        >>> x = lucid.tensor([1.0, -2.0, 3.0])
        >>> lucid.masked_select(x, x > 0)
        tensor([1., 3.])
    """
    mask = _mask(mask, "masked_select")
    try:
        shape = np.broadcast_shapes(tensor_of(x, "masked_select").shape, mask.shape)
    except ValueError:
        raise ShapeError(
            f"masked_select: x and mask must broadcast; got shapes {x.shape} and {mask.shape}"
        ) from None
    if x.shape != shape:
        x = expand(x, shape)
    return getitem(x, np.broadcast_to(mask, shape))


def _masked_source(x: Tensor, mask: Any, source: Any, caller: str) -> tuple[Tensor, Array]:
    mask = np.broadcast_to(_mask(mask, caller), tensor_of(x, caller).shape)
    count = int(np.count_nonzero(mask))
    if tensor_of(source, caller, "source").dtype != x.dtype:
        raise RuntimeError(f"{caller}: source must have the dtype {x.dtype}; got {source.dtype}")
    if source._data.size < count:
        raise ShapeError(
            f"{caller}: source must have an element for each of the {count} in the mask; "
            f"got {source._data.size}"
        )
    return getitem(reshape(source, (-1,)), slice(count)), mask


def masked_scatter(x: Tensor, mask: Any, source: Tensor) -> Tensor:
    """``x`` with the first elements of ``source`` written, in order, where ``mask`` is True."""
    return setitem(x, *_masked_source(x, mask, source, "masked_scatter"))


def masked_scatter_(x: Tensor, mask: Any, source: Tensor) -> Tensor:
    """In-place :func:`masked_scatter`."""
    return setitem_(x, *_masked_source(x, mask, source, "masked_scatter_"))


FUNCTIONS = (
    "gather scatter scatter_add scatter_reduce index_select index_add index_copy index_fill "
    "index_put take take_along_dim masked_select masked_scatter narrow select"
).split()
METHODS = [
    *FUNCTIONS,
    "copy_",
    *"scatter_ scatter_add_ index_add_ index_copy_ index_fill_ index_put_ put_".split(),
    "masked_scatter_",
    "unfold",
]
METHOD_FORMS = {"__getitem__": _getitem_method, "__setitem__": _setitem_method}
