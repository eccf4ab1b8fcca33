"""Random numbers: generators of lucid's own, never NumPy's global one.

The same seed gives the same bits, whatever the number of threads. float32 numbers are drawn as
such. Every function takes ``generator=``; without it, the one that :func:`manual_seed` seeds.
"""

from __future__ import annotations

import operator
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import CPU, as_device, device
from lucid._core.inplace import in_place
from lucid._core.op import operation
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor, to_array
from lucid.errors import ShapeError
from lucid.ops.creation import size_of, sizes_of
from lucid.ops.indexing import getitem
from lucid.ops.shape import array_of

Array = np.ndarray


class Generator:
    """A source of random numbers with a state of its own (PCG64, O'Neill 2014).

    Args:
        seed: an int; None: 0. A device (``"cpu"``) is accepted in its place, as in PyTorch.
        device: "cpu".

    Example:
        >>> generator = lucid.Generator(3)
        >>> a = lucid.rand(2, generator=generator)
        >>> bool((a == lucid.rand(2, generator=generator.manual_seed(3))).all())
        True
    """

    _STATE = struct.Struct("<16s16sIIQ")  # PCG64's state, its increment, half a draw, the seed

    def __init__(self, seed: Any = None, device: Any = None) -> None:
        if isinstance(seed, (str, _Device)):
            seed, device = None, seed
        as_device(device)
        self._seed = 0 if seed is None else _checked_seed(seed, "Generator")
        self._made: np.random.Generator | None = None

    @property
    def device(self) -> device:
        return CPU

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator inside; made when first used, as importing it takes its time."""
        if self._made is None:
            self._made = np.random.Generator(np.random.PCG64(self._seed))
        return self._made

    def manual_seed(self, seed: int) -> Generator:
        """Starts over from ``seed``; returns the generator."""
        self._seed = _checked_seed(seed, "manual_seed")
        self._made = None
        return self

    def seed(self) -> int:
        """Starts over from a seed that the operating system gives; returns it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that it last started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state, as a uint8 tensor for :meth:`set_state`."""
        found: Any = self.numpy.bit_generator.state
        packed = self._STATE.pack(
            found["state"]["state"].to_bytes(16, "little"),
            found["state"]["inc"].to_bytes(16, "little"),
            found["has_uint32"],
            found["uinteger"],
            self._seed,
        )
        return wrap(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, state: Tensor) -> Generator:
        """Goes back to a state from :meth:`get_state`; returns the generator."""
        if not isinstance(state, Tensor) or state.dtype != dtypes.uint8 or state.shape != (
            self._STATE.size,
        ):  # fmt: skip
            raise TypeError(
                f"set_state: state must be a uint8 tensor of {self._STATE.size} elements, "
                "from get_state"
            )
        words = self._STATE.unpack(state._data.tobytes())
        self._seed = words[4]
        self.numpy.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {
                "state": int.from_bytes(words[0], "little"),
                "inc": int.from_bytes(words[1], "little"),
            },
            "has_uint32": words[2],
            "uinteger": words[3],
        }
        return self

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed})"

    def __getstate__(self) -> bytes:
        return self.get_state()._data.tobytes()

    def __setstate__(self, state: bytes) -> None:
        self._made = None
        self._seed = 0
        self.set_state(wrap(np.frombuffer(state, np.uint8)))


_Device = device


def _checked_seed(seed: Any, caller: str) -> int:
    try:
        return operator.index(seed) % 2**64
    except TypeError:
        raise TypeError(f"{caller}: seed must be an int; got {seed!r}") from None


default_generator = Generator(int.from_bytes(os.urandom(8), "little"))
"""What is drawn from where no ``generator=`` is given."""


def manual_seed(seed: int) -> Generator:
    """Starts the default generator over from ``seed``, and returns it.

    Example:
        >>> _ = lucid.manual_seed(0)
        >>> a = lucid.randn(3)
        >>> _ = lucid.manual_seed(0)
        >>> lucid.equal(a, lucid.randn(3))
        True
    """
    return default_generator.manual_seed(seed)


def seed(seed: int | None = None) -> int:
    """Starts the default generator over from ``seed``, or from one drawn; returns the seed."""
    if seed is None:
        return default_generator.seed()
    return default_generator.manual_seed(seed).initial_seed()


def initial_seed() -> int:
    """The seed that the default generator last started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the default generator's state."""
    default_generator.set_state(new_state)


# -------------------------------------------------------------------- draws, as arrays


def _source(generator: Any, caller: str) -> np.random.Generator:
    if generator is None:
        return default_generator.numpy
    if not isinstance(generator, Generator):
        raise TypeError(
            f"{caller}: generator must be a lucid.Generator; got {type(generator).__name__}"
        )
    return generator.numpy


def draw_seed(generator: Any, caller: str) -> int:
    """Where a kernel's own random bits start from."""
    return int(_source(generator, caller).integers(2**63))


def _floating(dtype: Any, caller: str) -> np.dtype:
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, caller)
    if wanted.kind not in "fc":
        raise RuntimeError(f"{caller}: dtype must be floating point or complex; got {wanted}")
    return wanted


def _draw(make: Callable[..., Array], shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """``make(shape, dtype)`` for float32 and float64; other dtypes are made of these."""
    if dtype.kind == "c":
        part = dtypes.float32 if dtype is dtypes.complex64 else dtypes.float64
        out = np.empty(shape, dtype)
        out.real, out.imag = make(shape, part), make(shape, part)
        return out
    if dtype in (dtypes.float32, dtypes.float64):
        return np.asarray(make(shape, dtype.type))
    return np.asarray(make(shape, np.float32)).astype(dtype)


def _uniform(source: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    out = _draw(lambda shape, dtype: source.random(shape, dtype), shape, dtype)
    if dtype is dtypes.float16:  # rounding may have reached 1
        np.minimum(out, np.nextafter(np.float16(1), np.float16(0)), out=out)
    return out


def _normal(source: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    out = _draw(lambda shape, dtype: source.standard_normal(shape, dtype), shape, dtype)
    return out / np.sqrt(out.real.dtype.type(2)) if dtype.kind == "c" else out


def _finish(array: Array, requires_grad: bool) -> Tensor:
    out = wrap(array)
    return out.requires_grad_() if requires_grad else out


def _like(x: Any, dtype: Any, caller: str) -> tuple[tuple[int, ...], Any]:
    array = array_of(x, caller)
    return array.shape, array.dtype if dtype is None else dtype


# -------------------------------------------------------------------- distributions


def rand(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1).

    Args:
        sizes: loose or as one sequence (``size=``).
        generator: what to draw from.
        dtype: a floating-point or complex one.
        device: "cpu".
        requires_grad: record what is done with it.

    Example:
        >>> lucid.rand(2, 3).shape
        (2, 3)
    """
    as_device(device)
    shape = sizes_of(sizes, size, "rand")
    return _finish(
        _uniform(_source(generator, "rand"), shape, _floating(dtype, "rand")), requires_grad
    )


def randn(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal: mean 0, variance 1. The arguments are those of :func:`rand`."""
    as_device(device)
    shape = sizes_of(sizes, size, "randn")
    return _finish(
        _normal(_source(generator, "randn"), shape, _floating(dtype, "randn")), requires_grad
    )


def rand_like(
    x: Tensor, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """:func:`rand` in the shape and dtype of ``x``."""
    shape, dtype = _like(x, dtype, "rand_like")
    return rand(shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randn_like(
    x: Tensor, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """:func:`randn` in the shape and dtype of ``x``."""
    shape, dtype = _like(x, dtype, "randn_like")
    return randn(
        shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )


def randint(
    low: Any = None, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Integers in [low, high), each as likely.

    ``randint(low, high, size)``, or ``randint(high, size)`` with low = 0.

    Raises:
        ValueError: ``low`` is not below ``high``.

    Example:
        >>> lucid.randint(0, 10, size=(2, 3)).dtype
        dtype('int64')
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint: the argument 'size' is missing")
    low = 0 if low is None else low
    as_device(device)
    out = _integers(low, high, size_of((size,), "randint"), generator, dtype, "randint")
    return _finish(out, requires_grad)


def randint_like(
    x: Tensor, low: int, high: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """:func:`randint` in the shape and dtype of ``x``."""
    if high is None:
        low, high = 0, low
    as_device(device)
    shape, dtype = _like(x, dtype, "randint_like")
    return _finish(_integers(low, high, shape, generator, dtype, "randint_like"), requires_grad)


def _integers(
    low: Any, high: Any, shape: tuple[int, ...], generator: Any, dtype: Any, caller: str
) -> Array:
    try:
        low, high = operator.index(low), operator.index(high)
    except TypeError:
        raise TypeError(f"{caller}: low and high must be ints; got {low!r} and {high!r}") from None
    if low >= high:
        raise ValueError(f"{caller}: low must be below high; got low={low}, high={high}")
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype, caller)
    out = _source(generator, caller).integers(low, high, shape)
    return np.asarray(out).astype(wanted, copy=False)


def uniform(
    low: float = 0.0, high: float = 1.0, size: Any = (), *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [low, high).

    Example:
        >>> x = lucid.random.uniform(-1, 1, size=(100,))
        >>> bool((x >= -1).all())
        True
    """
    as_device(device)
    wanted = _floating(dtype, "uniform")
    out = _uniform_between(generator, size_of((size,), "uniform"), wanted, low, high, "uniform")
    return _finish(out, requires_grad)


def _uniform_between(
    generator: Any, shape: tuple[int, ...], dtype: np.dtype, low: float, high: float, caller: str
) -> Array:
    if not low <= high or not np.isfinite(high - low):
        raise ValueError(f"{caller}: low must not be above high, both finite; got {low} and {high}")
    return _uniform(_source(generator, caller), shape, dtype) * dtype.type(high - low) + dtype.type(
        low
    )


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normal with the given mean and standard deviation.

    Args:
        mean, std: numbers, or tensors that broadcast: one draw for each element.
        size: the shape; with tensors it may be left out.
        generator, dtype, device, requires_grad: as for :func:`rand`.

    Raises:
        ValueError: ``std`` is negative somewhere.
    """
    as_device(device)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if dtype is None and tensors:
        dtype = tensors[0].dtype
    wanted = _floating(dtype, "normal")
    a, b = (to_array(x, wanted, "normal", copy=False) for x in (mean, std))
    shape = np.broadcast_shapes(a.shape, b.shape) if size is None else size_of((size,), "normal")
    if (b.real < 0).any():
        raise ValueError(f"normal: std must not be negative; got {std}")
    out = _normal(_source(generator, "normal"), shape, wanted) * b + a
    return _finish(np.asarray(out), requires_grad)


def bernoulli(
    x: Any, p: float | None = None, *, generator: Generator | None = None, dtype: Any = None
) -> Tensor:
    """1 with the probability that each element of ``x`` (or ``p``) says, else 0.

    Raises:
        ValueError: a probability is not in [0, 1].
    """
    array = array_of(x, "bernoulli")
    if p is None and array.dtype.kind != "f":
        raise RuntimeError(f"bernoulli: x must be floating point; got {array.dtype}")
    chance = array if p is None else p
    out = _hits(chance, array.shape, generator, "bernoulli")
    return wrap(out.astype(array.dtype if dtype is None else dtypes.as_dtype(dtype, "bernoulli")))


def _hits(chance: Any, shape: tuple[int, ...], generator: Any, caller: str) -> Array:
    chance = np.asarray(chance)
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError(
            f"{caller}: probabilities must lie in [0, 1]; got {chance.min()} to {chance.max()}"
        )
    double = chance.dtype == np.float64 and chance.ndim > 0
    draw = dtypes.float64 if double else dtypes.float32
    return _uniform(_source(generator, caller), shape, draw) < chance


def poisson(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers whose rate each element of ``x`` says."""
    rate = array_of(x, "poisson")
    if rate.dtype.kind != "f":
        raise RuntimeError(f"poisson: x must be floating point; got {rate.dtype}")
    if not (rate >= 0).all():
        raise ValueError("poisson: rates must not be negative")
    return wrap(np.asarray(_source(generator, "poisson").poisson(rate)).astype(rate.dtype))


def exponential(
    rate: float = 1.0, size: Any = (), *, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Exponential with density ``rate exp(-rate t)``."""
    as_device(device)
    wanted = _floating(dtype, "exponential")
    out = _exponential(generator, size_of((size,), "exponential"), wanted, rate, "exponential")
    return _finish(out, requires_grad)


def _exponential(
    generator: Any, shape: tuple[int, ...], dtype: np.dtype, rate: float, caller: str
) -> Array:
    if not rate > 0:
        raise ValueError(f"{caller}: the rate must be positive; got {rate}")
    source: Any = _source(generator, caller)
    out = _draw(lambda shape, dtype: source.standard_exponential(shape, dtype), shape, dtype)
    return out / dtype.type(rate)


def multinomial(
    x: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the weights in the rows of ``x``.

    Args:
        x: (n,) or (rows, n) weights, not negative, each row with a positive sum.
        num_samples: how many per row.
        replacement: whether an index may be drawn twice.

    Shapes: ``(n,) -> (num_samples,)``, ``(rows, n) -> (rows, num_samples)``, int64.

    Raises:
        ValueError: weights are negative, not finite or all zero, or too few are positive to draw
            ``num_samples`` without replacement.
    """
    weights = array_of(x, "multinomial")
    if weights.ndim not in (1, 2) or weights.shape[-1] == 0:
        raise ShapeError(f"multinomial: x must have shape (n,) or (rows, n); got {weights.shape}")
    if weights.dtype.kind != "f":
        raise RuntimeError(f"multinomial: x must be floating point; got {weights.dtype}")
    if num_samples <= 0:
        raise ValueError(f"multinomial: num_samples must be positive; got {num_samples}")
    rows = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
    if not np.isfinite(rows).all() or (rows < 0).any() or not (rows.sum(1) > 0).all():
        raise ValueError(
            "multinomial: weights must be finite and not negative, with a positive sum in each row"
        )
    source = _source(generator, "multinomial")
    if replacement:
        levels = rows.cumsum(1)
        draws = source.random((len(rows), num_samples)) * levels[:, -1:]
        found = [
            np.searchsorted(level, draw, "right") for level, draw in zip(levels, draws, strict=True)
        ]
        last = [np.flatnonzero(row)[-1] for row in rows]
        out = np.minimum(np.array(found).reshape(draws.shape), np.array(last)[:, None])
    else:
        if (np.count_nonzero(rows, 1) < num_samples).any():
            raise ValueError(
                f"multinomial: fewer than num_samples={num_samples} weights are positive in a row; "
                "use replacement=True"
            )
        # The first to ring of exponential clocks with these rates (Efraimidis and Spirakis, 2006).
        with np.errstate(divide="ignore"):
            clocks = source.standard_exponential(rows.shape) / rows
        out = np.argsort(clocks, axis=1, kind="stable")[:, :num_samples]
    return wrap(out.astype(np.int64).reshape(*weights.shape[:-1], num_samples))


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The integers from 0 to ``n - 1`` in random order."""
    as_device(device)
    (count,) = size_of((n,), "randperm")
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype, "randperm")
    out = _source(generator, "randperm").permutation(count).astype(wanted, copy=False)
    return _finish(out, requires_grad)


def permutation(x: Any, *, generator: Generator | None = None) -> Tensor:
    """:func:`randperm` of an int; the entries of a tensor's first dimension in random order."""
    if not isinstance(x, Tensor):
        return randperm(x, generator=generator)
    if not x.ndim:
        raise ShapeError("permutation: a 0-d tensor has no entries to reorder")
    return getitem(x, _source(generator, "permutation").permutation(len(x)))


def shuffle(x: Tensor, *, generator: Generator | None = None) -> None:
    """Brings the entries of the first dimension into random order, in place."""
    if not array_of(x, "shuffle").ndim:
        raise ShapeError("shuffle: a 0-d tensor has no entries to reorder")
    _overwrite(x, x._data[_source(generator, "shuffle").permutation(len(x))])


# -------------------------------------------------------------------- in place


@operation(1)
def redraw(x: Array, values: Array) -> Array:
    """``values`` in place of ``x``, on which they do not depend."""
    return values


redraw.gradient(x=lambda F, g, x_shape: F.zeros(x_shape, g.dtype))
_overwrite = in_place(redraw)


def _drawn(x: Any, caller: str) -> tuple[tuple[int, ...], np.dtype]:
    array = array_of(x, caller)
    if array.dtype.kind not in "fc":
        raise RuntimeError(f"{caller}: x must be floating point or complex; got {array.dtype}")
    return array.shape, array.dtype


def uniform_(
    x: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None,
    **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Fills ``x`` with uniform numbers in ``[from_, to)``, in place (or ``**{"from": ...}``)."""
    low, high = kwargs.get("from", kwargs.get("low", from_)), kwargs.get("high", to)
    shape, dtype = _drawn(x, "uniform_")
    return _overwrite(x, _uniform_between(generator, shape, dtype, low, high, "uniform_"))


def normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills ``x`` with normal numbers, in place."""
    shape, dtype = _drawn(x, "normal_")
    if not std >= 0:
        raise ValueError(f"normal_: std must not be negative; got {std}")
    out = _normal(_source(generator, "normal_"), shape, dtype)
    if std != 1 or mean != 0:
        out = out * dtype.type(std) + dtype.type(mean)
    return _overwrite(x, out)


def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills ``x`` with exponential numbers of rate ``lambd``, in place."""
    shape, dtype = _drawn(x, "exponential_")
    return _overwrite(x, _exponential(generator, shape, dtype, lambd, "exponential_"))


def bernoulli_(x: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills ``x`` with ones with probability ``p`` (a number or a tensor), else zeros, in place."""
    array = array_of(x, "bernoulli_")
    chance = p._data if isinstance(p, Tensor) else p
    return _overwrite(x, _hits(chance, array.shape, generator, "bernoulli_").astype(array.dtype))


def random_(
    x: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fills ``x`` with integers in ``[from_, to)``, in place; ``random_(to)`` starts from 0.

    Without bounds: every integer that the dtype holds exactly, none negative.
    """
    array = array_of(x, "random_")
    if to is None and from_ == 0:
        to = _exact_limit(array.dtype)
    elif to is None:
        from_, to = 0, from_
    return _overwrite(x, _integers(from_, to, array.shape, generator, array.dtype, "random_"))


def _exact_limit(dtype: np.dtype) -> int:
    if dtype.kind == "b":
        return 2
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).max) + (dtype.itemsize < 8)
    return 2 ** (np.finfo(dtype).nmant + 1) + 1


def fork_rng() -> _Fork:
    """A context manager: inside, draw as you like; the default generator then goes on as before."""
    return _Fork()


class _Fork:
    def __enter__(self) -> None:
        self._state = get_rng_state()

    def __exit__(self, *exc: object) -> None:
        set_rng_state(self._state)


FUNCTIONS = (
    "Generator default_generator manual_seed seed initial_seed get_rng_state set_rng_state rand "
    "randn randint rand_like randn_like randint_like normal bernoulli poisson multinomial randperm"
).split()
METHODS = ("bernoulli multinomial uniform_ normal_ exponential_ bernoulli_ random_").split()
