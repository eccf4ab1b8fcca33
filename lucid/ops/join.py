"""Joining, splitting, repeating and rearranging."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.op import operation
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._dims import dims as all_dims
from lucid.ops._dims import one_dim, shape_of
from lucid.ops.creation import meshgrid
from lucid.ops.indexing import _index, getitem
from lucid.ops.pointwise import clone
from lucid.ops.resampling import resample_along
from lucid.ops.shape import (
    array_of,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_to,
    diagonal,
    ravel,
    reshape,
    tensor_of,
    transpose,
)

Array = np.ndarray

# -------------------------------------------------------------------- join


@operation(None)
def cat(tensors: list[Array], dim: int = 0) -> Array:
    """The tensors one after the other along an existing dimension.

    Args:
        tensors: of the same shape but in ``dim``; dtypes promote. Tensors of shape (0,) are left
            out, whatever the others' shape.
        dim: the dimension to join along.

    Raises:
        ShapeError: the other dimensions differ.

    Example:
        >>> lucid.cat([lucid.zeros(1, 2), lucid.ones(2, 2)])
        tensor([[0., 0.],
                [1., 1.],
                [1., 1.]])
    """
    if not tensors:
        raise ValueError("cat: tensors must not be empty")
    joined = [x for x in tensors if x.shape != (0,)] or tensors
    shape = joined[0].shape
    if not shape:
        raise ShapeError("cat: 0-d tensors cannot be joined; use stack")
    at = one_dim(dim, len(shape), "cat")
    for i, x in enumerate(tensors):
        if x.shape not in (shape, (0,)) and (
            x.ndim != len(shape) or x.shape[:at] + x.shape[at + 1 :] != shape[:at] + shape[at + 1 :]
        ):
            raise ShapeError(
                f"cat: tensors must have the same shape but in dim {dim}; tensors[{i}] has "
                f"{x.shape}, another {shape}"
            )
    return B.concatenate(_one_dtype(tensors, joined), at)


concat = concatenate = cat


def _one_dtype(tensors: list[Array], joined: list[Array]) -> list[Array]:
    """``joined`` in the dtype to which ``tensors`` promote."""
    wanted = tensors[0].dtype
    for x in tensors:
        if x.dtype is not wanted:
            wanted = dtypes.promote_types(wanted, x.dtype)
    return [x if x.dtype is wanted else x.astype(wanted) for x in joined]


@cat.gradient
def _cat_rule(F: Any, g: Any, need: Any, shapes: Any, dim: Any) -> Any:
    at = one_dim(dim, g.ndim, "cat")
    before = (slice(None),) * at
    end = 0
    parts = []
    for wanted, shape in zip(need, shapes, strict=True):
        if shape == (0,) and g.ndim > 1:
            parts.append(F.zeros(shape, g.dtype) if wanted else None)
            continue
        start, end = end, end + shape[at]
        parts.append(F.getitem(g, (*before, slice(start, end))) if wanted else None)
    return tuple(parts)


@operation(None)
def stack(tensors: list[Array], dim: int = 0) -> Array:
    """The tensors, all of one shape, as the entries of a new dimension ``dim``.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> lucid.stack([lucid.tensor([1, 2]), lucid.tensor([3, 4])], dim=1)
        tensor([[1, 3],
                [2, 4]])
    """
    if not tensors:
        raise ValueError("stack: tensors must not be empty")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise ShapeError(
                f"stack: tensors must all have one shape; tensors[{i}] has {x.shape}, "
                f"tensors[0] {tensors[0].shape}"
            )
    at = one_dim(dim, tensors[0].ndim + 1, "stack")
    return B.stack(_one_dtype(tensors, tensors), at)


@stack.gradient
def _stack_rule(F: Any, g: Any, need: Any, dim: Any) -> Any:
    before = (slice(None),) * one_dim(dim, g.ndim, "stack")
    return tuple([F.getitem(g, (*before, i)) if wanted else None for i, wanted in enumerate(need)])


def hstack(tensors: Any) -> Tensor:
    """The tensors joined side by side: along dim 1, for vectors dim 0."""
    parts = atleast_1d(_sequence(tensors, "hstack"))
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Tensor:
    """The tensors joined as rows: along dim 0, vectors as rows."""
    return cat(atleast_2d(_sequence(tensors, "vstack")), 0)


row_stack = vstack


def dstack(tensors: Any) -> Tensor:
    """The tensors joined along dim 2."""
    return cat(atleast_3d(_sequence(tensors, "dstack")), 2)


def column_stack(tensors: Any) -> Tensor:
    """Vectors as columns, and matrices, joined side by side."""
    parts = _sequence(tensors, "column_stack")
    return cat([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], 1)


def _sequence(tensors: Any, caller: str) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise TypeError(
            f"{caller}: tensors must be a sequence of Tensors; got {type(tensors).__name__}"
        )
    found = [tensor_of(x, caller, f"tensors[{i}]") for i, x in enumerate(tensors)]
    if not found:
        raise ValueError(f"{caller}: tensors must not be empty")
    return found


# -------------------------------------------------------------------- split


@operation(1, view=True)
def split_sizes(x: Array, sizes: tuple[int, ...], dim: int = 0) -> tuple[Array, ...]:
    """Views of ``x``, ``sizes`` long along ``dim``: what :func:`split` and its kin record."""
    before = (slice(None),) * dim
    parts, end = [], 0
    for size in sizes:
        start, end = end, end + size
        parts.append(x[(*before, slice(start, end))])
    return tuple(parts)


def _split_rule(F: Any, g: Any, x_shape: Any, x_dtype: Any, sizes: Any, dim: Any) -> Any:
    parts = [
        F.zeros((*x_shape[:dim], size, *x_shape[dim + 1 :]), x_dtype) if part is None else part
        for part, size in zip(g, sizes, strict=True)
    ]
    return F.cat(parts, dim)


split_sizes.gradient(x=_split_rule)


def _length(x: Any, dim: int, caller: str) -> tuple[int, int]:
    shape = array_of(x, caller).shape
    if not shape:
        raise ShapeError(f"{caller}: a 0-d tensor cannot be split")
    at = one_dim(dim, len(shape), caller)
    return at, shape[at]


def split(x: Tensor, split_size_or_sections: Any = None, dim: int = 0, **kwargs: Any) -> Any:
    """Views of ``x`` along ``dim``: pieces of one size (the last may be smaller), or of several.

    Args:
        x: a tensor.
        split_size_or_sections: the size, or a list of sizes that add up to the dimension's
            (``split_size`` as a keyword, too).
        dim: the dimension to split.

    Example:
        >>> lucid.arange(5).split(2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    size = kwargs.pop("split_size", split_size_or_sections)
    dim = kwargs.pop("axis", dim)
    if kwargs or size is None:
        raise TypeError("split: takes split_size_or_sections and dim")
    at, n = _length(x, dim, "split")
    if isinstance(size, (tuple, list)):
        sizes = shape_of((size,), "split")
        if any(s < 0 for s in sizes) or sum(sizes) != n:
            raise ShapeError(f"split: sizes must add up to {n}, the size of dim {dim}; got {sizes}")
        return split_sizes(x, sizes, at)
    size = operator.index(size)
    if size < 0 or size == 0 and n:
        raise ShapeError(f"split: split_size must be positive; got {size}")
    starts = range(0, n, size) if n else [0]
    return split_sizes(x, tuple([min(size, n - start) if n else 0 for start in starts]), at)


def split_with_sizes(x: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`split` into pieces of given sizes."""
    return split(x, list(split_sizes), dim)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of ``x`` along ``dim``, of equal size but the last.

    Example:
        >>> [len(part) for part in lucid.arange(5).chunk(3)]
        [2, 2, 1]
    """
    _, n = _length(x, dim, "chunk")
    if chunks <= 0:
        raise ValueError(f"chunk: chunks must be positive; got {chunks}")
    size = -(-n // chunks)
    return split(x, size, dim) if n else split(x, [0] * chunks, dim)


def tensor_split(x: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of ``x`` along ``dim``: as equal as can be, or cut at given indices.

    Example:
        >>> [len(part) for part in lucid.tensor_split(lucid.arange(7), 3)]
        [3, 2, 2]
        >>> lucid.tensor_split(lucid.arange(4), (1, 3))
        (tensor([0]), tensor([1, 2]), tensor([3]))
    """
    at, n = _length(x, dim, "tensor_split")
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [0, *[slice(i).indices(n)[1] for i in indices_or_sections], n]
        parts = []
        for start, end in itertools.pairwise(cuts):
            parts.append(getitem(x, (slice(None),) * at + (slice(start, max(start, end)),)))
        return tuple(parts)
    sections = operator.index(indices_or_sections)
    if sections <= 0:
        raise ValueError(f"tensor_split: the number of sections must be positive; got {sections}")
    size, larger = divmod(n, sections)
    return split_sizes(x, (size + 1,) * larger + (size,) * (sections - larger), at)


def _part_of(name: str, dim: Any) -> Any:
    def call(x: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        return tensor_split(x, indices_or_sections, dim(array_of(x, name).ndim))

    call.__name__ = call.__qualname__ = name
    return call


hsplit = _part_of("hsplit", lambda ndim: 0 if ndim == 1 else 1)
hsplit.__doc__ = """:func:`tensor_split` along dim 1; of a vector along dim 0."""
vsplit = _part_of("vsplit", lambda ndim: 0)
vsplit.__doc__ = """:func:`tensor_split` along dim 0."""
dsplit = _part_of("dsplit", lambda ndim: 2)
dsplit.__doc__ = """:func:`tensor_split` along dim 2."""


@operation(1, view=True)
def unbind(x: Array, dim: int = 0) -> tuple[Array, ...]:
    """The entries of dimension ``dim``, as views without it.

    Example:
        >>> lucid.eye(2).unbind()
        (tensor([1., 0.]), tensor([0., 1.]))
    """
    if not x.ndim:
        raise ShapeError("unbind: a 0-d tensor has no dimension to unbind")
    at = one_dim(dim, x.ndim, "unbind")
    before: Any = (slice(None),) * at
    return tuple([x[(*before, i, ...)] for i in range(x.shape[at])])


def _unbind_rule(F: Any, g: Any, x_shape: Any, x_dtype: Any, dim: Any) -> Any:
    at = one_dim(dim, len(x_shape), "unbind")
    shape = x_shape[:at] + x_shape[at + 1 :]
    return F.stack([F.zeros(shape, x_dtype) if part is None else part for part in g], at)


unbind.gradient(x=_unbind_rule)


# -------------------------------------------------------------------- repeat


def repeat(x: Tensor, *sizes: Any) -> Tensor:
    """``x`` repeated ``sizes`` times along each dimension; new ones come first.

    Example:
        >>> lucid.tensor([1, 2]).repeat(2, 2)
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    counts = shape_of(sizes, "repeat")
    if len(counts) < array_of(x, "repeat").ndim:
        raise ShapeError(
            f"repeat: takes a size for each of the {x.ndim} dimensions of x; got {counts}"
        )
    return _tiled(x, counts, "repeat")


def tile(x: Tensor, *dims: Any) -> Tensor:
    """:func:`repeat`, where ``dims`` may be fewer than the dimensions: they count from the last."""
    counts = shape_of(dims, "tile")
    return _tiled(x, (1,) * (array_of(x, "tile").ndim - len(counts)) + counts, "tile")


def _tiled(x: Tensor, counts: tuple[int, ...], caller: str) -> Tensor:
    if any(n < 0 for n in counts):
        raise ShapeError(f"{caller}: sizes must not be negative; got {counts}")
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    if not counts:
        return clone(x)
    # Each dimension as (count, n), of which the first is broadcast.
    apart = reshape(x, tuple([k for n in shape for k in (1, n)]))
    spread = broadcast_to(
        apart, tuple([k for pair in zip(counts, shape, strict=True) for k in pair])
    )
    out = reshape(spread, tuple([c * n for c, n in zip(counts, shape, strict=True)]))
    return out if out._base is None else clone(out)


def repeat_interleave(
    x: Tensor, repeats: Any, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each entry along ``dim`` (of the flattened tensor without it) ``repeats`` times in a row.

    Example:
        >>> lucid.repeat_interleave(lucid.tensor([1, 2]), lucid.tensor([1, 3]))
        tensor([1, 2, 2, 2])
    """
    counts = _index(repeats, "repeat_interleave")
    x = ravel(x) if dim is None else tensor_of(x, "repeat_interleave")
    at, n = _length(x, 0 if dim is None else dim, "repeat_interleave")
    if counts.ndim > 1 or counts.size not in (1, n):
        raise ShapeError(
            f"repeat_interleave: repeats must be an int or have {n} elements; got {counts.shape}"
        )
    if counts.size and counts.min() < 0:
        raise ValueError("repeat_interleave: repeats must not be negative")
    index = np.repeat(np.arange(n), counts.reshape(-1) if counts.size == n else int(counts))
    return getitem(x, (slice(None),) * at + (index,))


# -------------------------------------------------------------------- rearrange


@operation(1)
def flip(x: Array, dims: Any) -> Array:
    """The entries of the dimensions ``dims`` in reverse order; a copy.

    Example:
        >>> lucid.arange(3).flip(0)
        tensor([2, 1, 0])
    """
    which = all_dims(dims, x.ndim, "flip")
    return B.copy(np.flip(x, which))


flip.gradient(x=lambda F, g, dims: F.flip(g, dims))


def fliplr(x: Tensor) -> Tensor:
    """Dim 1 in reverse order."""
    if array_of(x, "fliplr").ndim < 2:
        raise ShapeError(f"fliplr: x must have at least 2 dimensions; got {x.shape}")
    return flip(x, 1)


def flipud(x: Tensor) -> Tensor:
    """Dim 0 in reverse order."""
    if array_of(x, "flipud").ndim < 1:
        raise ShapeError("flipud: x must have at least 1 dimension; got ()")
    return flip(x, 0)


@operation(1)
def roll(x: Array, shifts: Any, dims: Any = None) -> Array:
    """The entries moved by ``shifts`` along ``dims``; those that fall off come in at the other end.

    Without ``dims`` the tensor is rolled as if it were flat.

    Example:
        >>> lucid.arange(4).roll(1)
        tensor([3, 0, 1, 2])
    """
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    if dims is None:
        if len(shifts) != 1:
            raise ShapeError(f"roll: several shifts need as many dims; got {shifts} and None")
        return np.roll(x, shifts[0])
    which = dims if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(which):
        raise ShapeError(f"roll: shifts and dims must be as many; got {shifts} and {tuple(which)}")
    return np.roll(x, shifts, tuple([one_dim(d, x.ndim, "roll") for d in which]))


def _roll_rule(F: Any, g: Any, shifts: Any, dims: Any) -> Any:
    back = [-s for s in shifts] if isinstance(shifts, (tuple, list)) else -shifts
    return F.roll(g, back, dims)


roll.gradient(x=_roll_rule)


def rot90(x: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated by ``k`` quarter turns in the plane of two dimensions, from the first to the second.

    Example:
        >>> lucid.rot90(lucid.tensor([[1, 2], [3, 4]]))
        tensor([[2, 4],
                [1, 3]])
    """
    first, second = _plane(dims, array_of(x, "rot90").ndim)
    turns = k % 4
    if turns == 0:
        return clone(x)
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return transpose(flip(x, second), first, second)
    return flip(transpose(x, first, second), second)


def _plane(dims: Any, ndim: int) -> tuple[int, int]:
    found = all_dims(tuple(dims), ndim, "rot90")
    if len(found) != 2:
        raise ShapeError(f"rot90: dims must name two dimensions; got {dims}")
    return found[0], found[1]


# -------------------------------------------------------------------- triangles and diagonals


def _triangle(x: Array, name: str) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: x must have at least 2 dimensions; got {x.shape}")


@operation(1)
def tril(x: Array, diagonal: int = 0) -> Array:
    """The lower triangle of the matrices in the last two dimensions, zeros above ``diagonal``."""
    _triangle(x, "tril")
    return np.tril(x, diagonal)


tril.gradient(x=lambda F, g, diagonal: F.tril(g, diagonal))


@operation(1)
def triu(x: Array, diagonal: int = 0) -> Array:
    """The upper triangle of the matrices in the last two dimensions, zeros below ``diagonal``."""
    _triangle(x, "triu")
    return np.triu(x, diagonal)


triu.gradient(x=lambda F, g, diagonal: F.triu(g, diagonal))


@operation(1)
def diag_embed(x: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Matrices whose diagonals are the last dimension of ``x``, zeros elsewhere.

    Args:
        x: at least 1-d.
        offset: which diagonal.
        dim1, dim2: which dimensions of the result the matrices are in.

    Shapes: ``(..., n) -> (..., n + |offset|, n + |offset|)`` with the default dims.
    """
    if not x.ndim:
        raise ShapeError("diag_embed: x must have at least 1 dimension; got ()")
    first, second = (one_dim(d, x.ndim + 1, "diag_embed") for d in (dim1, dim2))
    if first == second:
        raise ShapeError(f"diag_embed: dim1 and dim2 must differ; got {dim1} and {dim2}")
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n), x.dtype)
    lines = out.diagonal(offset, -2, -1)
    lines.flags.writeable = True
    lines[...] = x
    return np.moveaxis(out, (-2, -1), (first, second))


diag_embed.gradient(x=lambda F, g, offset, dim1, dim2: F.diagonal(g, offset, dim1, dim2))


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a given diagonal, or the diagonal of a given matrix (a copy).

    Example:
        >>> lucid.diag(lucid.tensor([1, 2]))
        tensor([[1, 0],
                [0, 2]])
    """
    ndim = array_of(x, "diag").ndim
    if ndim not in (1, 2):
        raise ShapeError(f"diag: x must have 1 or 2 dimensions; got {x.shape}")
    return diag_embed(x, diagonal) if ndim == 1 else clone(_diagonal(x, diagonal))


_diagonal = diagonal  # where a parameter has its name


def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """The matrix whose diagonal holds all elements of ``x``."""
    return diag_embed(ravel(x), offset)


# -------------------------------------------------------------------- padding


@operation(1)
def constant_pad(x: Array, pad: tuple[tuple[int, int], ...], value: Any = 0.0) -> Array:
    """``x`` with ``pad[d] = (before, after)`` entries more in dimension d; negative ones crop."""
    shape = tuple([n + a + b for n, (a, b) in zip(x.shape, pad, strict=True)])
    if any(n < 0 for n in shape):
        raise ShapeError(f"pad: crops more than there is: {x.shape} by {pad}")
    out = np.full(shape, value, x.dtype)
    inner = tuple([slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, pad, strict=True)])
    outer = tuple(
        [slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pad, strict=True)]
    )
    out[inner] = x[outer]
    return out


constant_pad.gradient(x=lambda F, g, pad: F.constant_pad(g, tuple([(-a, -b) for a, b in pad]), 0.0))


def pad(x: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """``x`` with a border.

    Args:
        x: any tensor.
        pad: (before, after) of the last dimension, then of the last but one, and so on, in one flat
            list; negative ones crop.
        mode: "constant"; "reflect" (mirrored about the edge element), "replicate" (the edge
            element) or "circular".
        value: of the border in constant mode, default 0.

    Raises:
        ShapeError: a reflected or circular border wider than there are elements.

    Example:
        >>> lucid.nn.functional.pad(lucid.tensor([1, 2, 3]), (2, 1), mode="reflect")
        tensor([3, 2, 1, 2, 3, 2])
    """
    shape = array_of(x, "pad").shape
    flat = shape_of((pad,), "pad")
    if len(flat) % 2 or len(flat) > 2 * len(shape):
        raise ShapeError(
            f"pad: pad must hold (before, after) for at most the {len(shape)} dimensions of x; "
            f"got {flat}"
        )
    pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
    borders = [(0, 0)] * (len(shape) - len(pairs)) + pairs[::-1]
    if mode == "constant":
        return constant_pad(x, tuple(borders), 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(
            f'pad: mode must be "constant", "reflect", "replicate" or "circular"; got {mode!r}'
        )
    if value is not None:
        raise ValueError(f"pad: value is for mode constant; got value={value!r} with {mode!r}")
    for dim, (before, after) in enumerate(borders):
        if before or after:
            x = resample_along(x, dim, _border(shape[dim], before, after, mode, dim)[None])
    return x


def _border(n: int, before: int, after: int, mode: str, dim: int) -> Array:
    """For each entry of the padded dimension, the one it is a copy of."""
    left = n + min(before, 0) + min(after, 0)
    limit = {"reflect": n - 1, "replicate": before + after + n, "circular": left}[mode]
    if max(before, after) > limit or n == 0 or before + after + n < 0:
        raise ShapeError(
            f"pad: in mode {mode}, dim {dim} of size {n} can take at most {max(limit, 0)}; "
            f"got {(before, after)}"
        )
    index = np.arange(-before, n + after)
    if mode == "replicate":
        return index.clip(0, n - 1)
    if mode == "circular":  # what is left after cropping goes round
        first = max(-before, 0)
        return (index - first) % max(left, 1) + first
    return (n - 1) - np.abs((n - 1) - np.abs(index))


# -------------------------------------------------------------------- combinations


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of one element from each of the 1-D tensors, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(grid, (-1,)) for grid in meshgrid(*tensors)], 1)


def combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every choice of ``r`` elements of the 1-D tensor ``x``, in order, as rows."""
    if array_of(x, "combinations").ndim != 1:
        raise ShapeError(f"combinations: x must be 1-D; got {x.shape}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(len(x)), r)), np.intp).reshape(-1, r)
    return getitem(x, rows)


FUNCTIONS = (
    "cat concat concatenate stack hstack vstack row_stack dstack column_stack split chunk "
    "split_with_sizes tensor_split hsplit vsplit dsplit unbind tile repeat_interleave flip fliplr "
    "flipud roll rot90 tril triu diag_embed diag diagflat cartesian_prod combinations pad repeat"
).split()
METHODS = (
    "split split_with_sizes chunk tensor_split hsplit vsplit dsplit unbind repeat tile "
    "repeat_interleave fliplr flipud roll rot90 tril triu diag_embed diag diagflat pad"
).split()


def _flip_method(x: Tensor, *dims: Any) -> Tensor:
    return flip(x, dims[0] if len(dims) == 1 else dims)


METHOD_FORMS = {"flip": _flip_method}
