"""Shapes and views: results that share their input's memory wherever NumPy's strides allow it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.op import operation
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._dims import dims, one_dim, shape_of
from lucid.ops.pointwise import clone

Array = np.ndarray

# -------------------------------------------------------------------- another shape


@operation(1, view=True)
def reshape(x: Array, shape: Any) -> Array:
    """The same elements in another shape; one size may be -1.

    A view where the strides allow it, else a copy.

    Args:
        x: any tensor.
        shape: the new sizes; their product is ``x.numel()``.

    Raises:
        ShapeError: the elements do not fill ``shape``.

    Example:
        >>> lucid.reshape(lucid.arange(6), (2, -1))
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    try:
        return B.reshape(x, shape)
    except (ValueError, TypeError):
        raise ShapeError(
            f"reshape: shape must hold the {x.size} elements of {x.shape}; got {shape}"
        ) from None


reshape.gradient(x=lambda F, g, x_shape: F.reshape(g, x_shape))


def view(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """The same memory in another shape, ``x.view(2, -1)``, or as another dtype, ``x.view(dtype)``.

    Raises:
        ShapeError: the sizes do not fit, or the strides would need a copy: use ``reshape``.

    Example:
        >>> x = lucid.zeros(4)
        >>> x.view(2, 2)[0, 1] = 1.0
        >>> x
        tensor([0., 1., 0., 0.])
        >>> x.view(lucid.int32)
        tensor([         0, 1065353216,          0,          0], dtype=lucid.int32)
    """
    array = array_of(x, "view")
    if dtype is None and len(shape) == 1 and isinstance(shape[0], (np.dtype, type, str)):
        (dtype,), shape = shape, ()
    if dtype is not None:
        if shape:
            raise TypeError("view: takes a shape or a dtype, not both")
        return view_as_dtype(x, dtypes.as_dtype(dtype, "view"))
    sizes = shape_of(shape, "view")
    out = reshape(x, sizes)
    if array.size and not np.may_share_memory(out._data, array):
        raise ShapeError(
            f"view: shape {sizes} does not fit the strides {x.stride()} of a tensor of shape "
            f"{x.shape} without a copy; use reshape"
        )
    return out


@operation(1, view=True)
def view_as_dtype(x: Array, dtype: Any) -> Array:
    """The same bytes read as another element type; no gradient flows."""
    try:
        return x.view(dtype)
    except ValueError as error:
        raise ShapeError(
            f"view: {x.dtype} of shape {x.shape} cannot be read as {dtype}: {error}"
        ) from None


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """:func:`view` in the shape of ``other``."""
    return view(x, array_of(other, "view_as", "other").shape)


def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """:func:`reshape` to the shape of ``other``."""
    return reshape(x, array_of(other, "reshape_as", "other").shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim``, both included, made one.

    Example:
        >>> lucid.ones(2, 3, 4).flatten(1).shape
        (2, 12)
    """
    shape = array_of(x, "flatten").shape
    first, last = one_dim(start_dim, len(shape), "flatten"), one_dim(end_dim, len(shape), "flatten")
    if first > last:
        raise ShapeError(
            f"flatten: start_dim must not lie after end_dim; got {start_dim} and {end_dim}"
        )
    if first == last and shape:
        return x
    return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(x: Tensor, dim: int, sizes: Any) -> Tensor:
    """Dimension ``dim`` split up into ``sizes``, one of which may be -1."""
    shape = array_of(x, "unflatten").shape
    at = one_dim(dim, len(shape), "unflatten")
    sizes = shape_of((sizes,), "unflatten")
    known = math.prod(n for n in sizes if n != -1)
    free = sizes.count(-1)
    if not sizes or free > 1 or (shape[at] != known if not free else shape[at] % max(known, 1)):
        raise ShapeError(
            f"unflatten: sizes must multiply to {shape[at]}, the size of dim {dim}; got {sizes}"
        )
    sizes = tuple([shape[at] // max(known, 1) if n == -1 else n for n in sizes])
    return reshape(x, (*shape[:at], *sizes, *shape[at + 1 :]))


def ravel(x: Tensor) -> Tensor:
    """All elements in one dimension; a view where the strides allow it."""
    return reshape(x, (-1,)) if array_of(x, "ravel").ndim != 1 else x


def contiguous(x: Tensor) -> Tensor:
    """``x`` itself where its elements lie in C order in memory, else a copy that does."""
    return x if array_of(x, "contiguous").flags.c_contiguous else clone(x)


# -------------------------------------------------------------------- order of dimensions


@operation(1, view=True)
def transpose(x: Array, dim0: int, dim1: int) -> Array:
    """Exchanges two dimensions: a view.

    Example:
        >>> lucid.ones(2, 3, 4).transpose(0, 2).shape
        (4, 3, 2)
    """
    first, second = one_dim(dim0, x.ndim, "transpose"), one_dim(dim1, x.ndim, "transpose")
    return x.swapaxes(first, second) if x.ndim else x


transpose.gradient(x=lambda F, g, dim0, dim1: F.transpose(g, dim0, dim1))
swapaxes = swapdims = transpose


@operation(1, view=True)
def permute(x: Array, dims: Any) -> Array:
    """The dimensions in another order: a view.

    Args:
        x: any tensor.
        dims: for each dimension of the result, which one of ``x`` it is.

    Raises:
        ShapeError: ``dims`` is no permutation.

    Example:
        >>> lucid.ones(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)
    """
    order = _order(dims, x.ndim)
    return x.transpose(order)


def _order(order: Any, ndim: int) -> tuple[int, ...]:
    found = tuple([one_dim(d, ndim, "permute") for d in order])
    if len(found) != ndim or len(set(found)) != ndim:
        raise ShapeError(
            f"permute: dims must name each of the {ndim} dimensions once; got {tuple(order)}"
        )
    return found


def _permute_rule(F: Any, g: Any, dims: Any) -> Any:
    order = _order(dims, len(dims))
    return F.permute(g, tuple([order.index(i) for i in range(len(order))]))


permute.gradient(x=_permute_rule)


def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Moves dimensions to other places; the rest keep their order.

    Example:
        >>> lucid.ones(2, 3, 4).movedim(0, -1).shape
        (3, 4, 2)
    """
    ndim = array_of(x, "movedim").ndim
    sources, targets = dims(source, ndim, "movedim"), dims(destination, ndim, "movedim")
    if len(sources) != len(targets):
        raise ShapeError(
            f"movedim: source and destination must name as many dimensions; "
            f"got {source} and {destination}"
        )
    order = [d for d in range(ndim) if d not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute(x, tuple(order))


moveaxis = movedim


def t(x: Tensor) -> Tensor:
    """The transposed matrix; a tensor of fewer dimensions as it is."""
    ndim = array_of(x, "t").ndim
    if ndim > 2:
        raise ShapeError(f"t: x must have at most 2 dimensions; got {x.shape}: use mT")
    return transpose(x, 0, 1) if ndim == 2 else x


def _reversed(x: Tensor) -> Tensor:
    """All dimensions in reverse order."""
    return permute(x, tuple(range(x.ndim))[::-1])


def matrix_transpose(x: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    if array_of(x, "mT").ndim < 2:
        raise ShapeError(f"mT: x must have at least 2 dimensions; got {x.shape}")
    return transpose(x, -2, -1)


def adjoint(x: Tensor) -> Tensor:
    """The last two dimensions exchanged, complex numbers conjugated."""
    out = matrix_transpose(x)
    return out.conj() if out.dtype.kind == "c" else out


def _matrix_adjoint(x: Tensor) -> Tensor:
    """:func:`adjoint` of a matrix."""
    if x.ndim not in (0, 2):
        raise ShapeError(f"H: x must have 2 dimensions; got {x.shape}: use mH")
    return adjoint(x) if x.ndim else x


# -------------------------------------------------------------------- dimensions of size 1


@operation(1, view=True)
def squeeze(x: Array, dim: Any = None) -> Array:
    """Without its dimensions of size 1: all of them, or those in ``dim``. A view.

    Example:
        >>> lucid.ones(1, 2, 1).squeeze().shape
        (2,)
    """
    if dim is None:
        return x.squeeze()
    which = tuple([d for d in dims(dim, x.ndim, "squeeze") if x.shape[d] == 1])
    return x.squeeze(which)


squeeze.gradient(x=lambda F, g, x_shape: F.reshape(g, x_shape))


@operation(1, view=True)
def unsqueeze(x: Array, dim: int) -> Array:
    """With a new dimension of size 1 at ``dim``: a view.

    Example:
        >>> lucid.ones(2, 3).unsqueeze(-1).shape
        (2, 3, 1)
    """
    at = one_dim(dim, x.ndim + 1, "unsqueeze")
    return x.reshape((*x.shape[:at], 1, *x.shape[at:]))


unsqueeze.gradient(x=lambda F, g, x_shape: F.reshape(g, x_shape))


def _at_least(name: str, place: Any) -> Any:
    def call(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            return tuple([place(tensor_of(x, name)) for x in tensors[0]])
        found = tuple([place(tensor_of(x, name)) for x in tensors])
        return found[0] if len(found) == 1 else found

    call.__name__ = call.__qualname__ = name
    return call


atleast_1d = _at_least("atleast_1d", lambda x: reshape(x, (1,)) if x.ndim == 0 else x)
atleast_1d.__doc__ = """Each tensor with at least 1 dimension; a tuple if several are given."""
atleast_2d = _at_least(
    "atleast_2d",
    lambda x: reshape(x, (1, 1)) if x.ndim == 0 else unsqueeze(x, 0) if x.ndim == 1 else x,
)
atleast_2d.__doc__ = """Each tensor with at least 2 dimensions; a vector becomes a row."""
atleast_3d = _at_least(
    "atleast_3d",
    lambda x: reshape(x, ((1, 1, 1), (1, *x.shape, 1), (*x.shape, 1))[x.ndim]) if x.ndim < 3 else x,
)
atleast_3d.__doc__ = (
    """Each tensor with at least 3 dimensions; a matrix gets a last one of size 1."""
)


# -------------------------------------------------------------------- broadcasting


@operation(1, view=True)
def broadcast_to(x: Array, shape: Any) -> Array:
    """``x`` repeated along new or size-1 dimensions, without a copy: a read-only view.

    Raises:
        ShapeError: ``x`` does not broadcast to ``shape``.

    Example:
        >>> lucid.broadcast_to(lucid.tensor([1, 2]), (2, 2))
        tensor([[1, 2],
                [1, 2]])
    """
    try:
        return np.broadcast_to(x, shape)
    except (ValueError, TypeError):
        raise ShapeError(f"broadcast_to: {x.shape} does not broadcast to {shape}") from None


broadcast_to.gradient(x=lambda F, g, x_shape: F.sum_to(g, x_shape))


def expand(x: Tensor, *sizes: Any) -> Tensor:
    """:func:`broadcast_to`, where a size of -1 keeps the dimension as it is.

    Example:
        >>> lucid.ones(3, 1).expand(-1, 4).shape
        (3, 4)
    """
    old = array_of(x, "expand").shape
    shape = shape_of(sizes, "expand")
    lead = len(shape) - len(old)
    if lead < 0:
        raise ShapeError(f"expand: {shape} has fewer sizes than x has dimensions; x has {old}")
    if any(n == -1 for n in shape[:lead]):
        raise ShapeError(f"expand: -1 is not allowed for a new dimension; got {shape} for {old}")
    return broadcast_to(x, tuple([old[i - lead] if n == -1 else n for i, n in enumerate(shape)]))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """``x`` broadcast to the shape of ``other``."""
    return expand(x, array_of(other, "expand_as", "other").shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, all broadcast to their common shape."""
    shape = broadcast_shapes(*[array_of(x, "broadcast_tensors").shape for x in tensors])
    return tuple([broadcast_to(x, shape) for x in tensors])


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape to which tensors of these shapes broadcast together.

    Example:
        >>> lucid.broadcast_shapes((3, 1), (4,))
        (3, 4)
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_shapes: {shapes} do not broadcast together") from None


# -------------------------------------------------------------------- parts


@operation(1, view=True)
def diagonal(x: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """The diagonal of the matrices in ``dim1`` and ``dim2``, as a new last dimension: a view.

    Args:
        x: a tensor of at least 2 dimensions.
        offset: how far above the main diagonal; negative: below.

    Example:
        >>> lucid.eye(3).diagonal(1)
        tensor([0., 0.])
    """
    if x.ndim < 2:
        raise ShapeError(f"diagonal: x must have at least 2 dimensions; got {x.shape}")
    first, second = one_dim(dim1, x.ndim, "diagonal"), one_dim(dim2, x.ndim, "diagonal")
    if first == second:
        raise ShapeError(f"diagonal: dim1 and dim2 must differ; got {dim1} and {dim2}")
    out = x.diagonal(offset, first, second)
    out.flags.writeable = x.flags.writeable  # NumPy hands it out read-only
    return out


diagonal.gradient(
    x=lambda F, g, x_shape, offset, dim1, dim2: F.write_view(
        F.zeros(x_shape, g.dtype), g, ((diagonal.op, None, (offset, dim1, dim2)),)
    )
)


# -------------------------------------------------------------------- views written to in place


@operation(1, view=True)
def take_view(x: Array, chain: Any) -> Array:
    """The part of ``x`` that a chain of view operations selects."""
    for op, index, arguments in chain:
        x = op.forward(x, *arguments)
        x = x if index is None else x[index]
    return x


take_view.gradient(x=lambda F, g, x_shape, chain: F.write_view(F.zeros(x_shape, g.dtype), g, chain))


@operation(2)
def write_view(x: Array, value: Array, chain: Any) -> Array:
    """``x`` with the part that ``chain`` selects written over by ``value``."""
    out = x.copy(order="K")
    part = take_view.op.forward(out, chain)
    if np.may_share_memory(part, out):
        part[...] = value
    else:  # a reshape that was a view of the base's memory is a copy of this layout
        out = np.ascontiguousarray(out)
        places = np.arange(out.size).reshape(out.shape)
        out.reshape(-1)[take_view.op.forward(places, chain)] = value
    return out


write_view.gradient(
    x=lambda F, g, chain: F.write_view(g, 0.0, chain),
    value=lambda F, g, chain: F.take_view(g, chain),
)


# -------------------------------------------------------------------- arguments


def tensor_of(x: Any, caller: str, name: str = "x") -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{caller}: {name} must be a Tensor; got {type(x).__name__}")
    return x


def array_of(x: Any, caller: str, name: str = "x") -> Array:
    return tensor_of(x, caller, name)._data


FUNCTIONS = (
    "reshape flatten unflatten ravel transpose swapaxes swapdims permute movedim moveaxis t "
    "adjoint squeeze unsqueeze atleast_1d atleast_2d atleast_3d broadcast_to broadcast_tensors "
    "broadcast_shapes diagonal expand view"
).split()
METHODS = (
    "view_as reshape_as flatten ravel transpose swapaxes swapdims movedim moveaxis t adjoint "
    "squeeze unsqueeze expand expand_as diagonal contiguous view"
).split()


def _sizes_method(operation: Any, keyword: str) -> Any:
    """A method that takes sizes, or dimensions, loose or as one sequence: ``x.reshape(2, 3)``."""

    def method(x: Tensor, *sizes: Any, **kwargs: Any) -> Tensor:
        if keyword in kwargs:
            sizes = (kwargs[keyword],)
        elif kwargs:
            raise TypeError(f"{operation.__name__}: has no argument {next(iter(kwargs))!r}")
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            return operation(x, tuple(sizes[0]))
        return operation(x, sizes)

    method.__name__ = method.__qualname__ = operation.__name__
    method.__doc__ = operation.__doc__
    return method


METHOD_FORMS = {
    "reshape": _sizes_method(reshape, "shape"),
    "permute": _sizes_method(permute, "dims"),
    "broadcast_to": _sizes_method(broadcast_to, "size"),
    "unflatten": lambda x, dim, *sizes, **kw: unflatten(
        x, dim, kw.get("sizes", sizes[0] if len(sizes) == 1 else sizes)
    ),
}
PROPERTIES = {"T": _reversed, "mT": matrix_transpose, "mH": adjoint, "H": _matrix_adjoint}
