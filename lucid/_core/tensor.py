"""The Tensor: a NumPy array that remembers how it was made.

The arithmetic is attached by :mod:`lucid.ops`; here is what every tensor has: memory, versions,
gradients, views, conversions.
"""

from __future__ import annotations

import copy
import math
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import CPU, as_device, device
from lucid._core.grad_mode import mode
from lucid._core.tape import (
    Node,
    RemovableHandle,
    Variable,
    make_tensors_of,
    memory_of,
    note_write,
    refresh,
    wrap,
)

if TYPE_CHECKING:
    from lucid._core._methods import Methods
else:
    Methods = object  # the methods themselves are attached by lucid.ops.methods

_NUMPY_TAKES_DLPACK_VERSIONS = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


class Tensor(Variable, Methods):
    """An n-dimensional array with automatic differentiation.

    ``Tensor(data, requires_grad=False, dtype=None, device=None)`` copies ``data`` (anything
    :func:`lucid.tensor` takes).

    Attributes:
        grad: the gradient that :meth:`backward` accumulates, or ``None``.
        requires_grad: whether operations on the tensor are recorded.
        is_leaf: made by the user rather than by a recorded operation.
        grad_fn: the node of the operation that made it.
    """

    # What every operation reads is in Variable; the rare fields default on the class and appear in
    # the instance's __dict__ when set.
    __slots__ = ("__dict__", "__weakref__")

    _hooks: list[Any] | None = None
    _accumulate_hooks: list[Any] | None = None
    _retains_grad: RemovableHandle | None = None

    # NumPy then leaves `array + tensor` to Tensor.__radd__.
    __array_priority__ = 1000

    def __new__(
        cls,
        data: Any = (),
        requires_grad: bool = False,
        dtype: Any = None,
        device: Any = None,
    ) -> Tensor:
        as_device(device)
        self = Variable.__new__(cls)
        self._data = to_array(data, dtype, "Tensor", copy=True)
        if requires_grad:
            self.requires_grad_()
        return self

    # ---------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def device(self) -> device:
        return CPU

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one dimension of it (a method, as in PyTorch; the count is ``numel()``)."""
        if dim is None:
            return self._data.shape
        try:
            return self._data.shape[dim]
        except IndexError:
            raise IndexError(
                f"size: dim {dim} is out of range for the shape {self.shape}"
            ) from None

    def dim(self) -> int:
        return self._data.ndim

    def numel(self) -> int:
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        return self._data.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours along each dimension, in elements."""
        strides = tuple(step // self._data.itemsize for step in self._data.strides)
        return strides if dim is None else strides[dim]

    def data_ptr(self) -> int:
        return self._data.ctypes.data

    def is_contiguous(self) -> bool:
        return self._data.flags.c_contiguous

    def is_floating_point(self) -> bool:
        return self._data.dtype.kind == "f"

    def is_complex(self) -> bool:
        return self._data.dtype.kind == "c"

    # ---------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:
        if self._base is not None:
            refresh(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Says whether operations on this leaf are to be recorded; returns the tensor.

        Raises:
            RuntimeError: it is no leaf, or not of a floating-point or complex dtype.
        """
        if requires_grad and self._data.dtype.kind not in "fc":
            raise RuntimeError(
                "requires_grad_: only floating-point and complex tensors have gradients; "
                f"got dtype {self._data.dtype}"
            )
        if not requires_grad and self.requires_grad and self._node is not None:
            raise RuntimeError(
                "requires_grad_: only a leaf can stop requiring grad; this tensor was made by "
                f"{self._node.name}: use detach()"
            )
        self._requires_grad = self._requires_grad or bool(requires_grad)
        if self._node is None:
            self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: must be a Tensor or None; got {type(value).__name__}")
            if value is self:
                raise RuntimeError("grad: a tensor cannot be its own gradient")
            if value._data.shape != self._data.shape or value._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"grad: must have the tensor's shape {self.shape} and dtype {self.dtype}; "
                    f"got {value.shape} and {value.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def grad_fn(self) -> Node | None:
        if self._base is not None:
            refresh(self)
        return self._node

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def retains_grad(self) -> bool:
        return self._retains_grad is not None

    def retain_grad(self) -> None:
        """Keeps ``.grad`` of this non-leaf tensor in the coming backward pass."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require grad")
        if self._node is None or self._retains_grad is not None:
            return
        ref = weakref.ref(self)

        def keep(gradient: Tensor) -> None:
            tensor = ref()
            if tensor is not None:
                before = tensor._grad
                tensor._grad = gradient.clone() if before is None else before + gradient

        self._retains_grad = self._node.register_hook(keep)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Calls ``hook(gradient)`` whenever this tensor's gradient is computed.

        A tensor that the hook returns replaces the gradient.

        Raises:
            RuntimeError: the tensor does not require grad.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")
        if self._node is not None:
            return self._node.register_hook(hook)
        if self._hooks is None:
            self._hooks = []
        return RemovableHandle(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Calls ``hook(tensor)`` after ``.grad`` of this leaf was accumulated."""
        if not self.requires_grad or self._node is not None:
            raise RuntimeError(
                "register_post_accumulate_grad_hook: the tensor must be a leaf that requires grad"
            )
        if self._accumulate_hooks is None:
            self._accumulate_hooks = []
        return RemovableHandle(self._accumulate_hooks, hook)

    def detach(self) -> Tensor:
        """The same memory, outside the graph. In-place writes to either are seen by both."""
        out = wrap(self._data)
        out._base = self if self._base is None else self._base
        return out

    def detach_(self) -> Tensor:
        """Takes the tensor itself out of the graph."""
        if self._view is not None:
            raise RuntimeError("detach_: a view cannot be detached in place; use detach()")
        self._node, self._requires_grad = None, False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph; assigning swaps the memory for another tensor's."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: must be a Tensor; got {type(value).__name__}")
        if self._requires_grad and value._data.dtype.kind not in "fc":
            raise RuntimeError(f"data: a tensor that requires grad cannot become {value.dtype}")
        note_write(self)
        self._data = value._data
        self._base = value if value._base is None else value._base
        self._view = None

    @property
    def _version(self) -> int:
        """How often the memory was written to in place, counted from when a graph first saw it."""
        memory = (self if self._base is None else self._base)._memory
        return 0 if memory is None else memory.version

    # ---------------------------------------------------------------- views

    def is_view(self) -> bool:
        return self._view is not None

    # ---------------------------------------------------------------- NumPy and other libraries

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory.

        While a recorded graph needs the values for its backward pass, the array is read-only, so
        that a write through NumPy cannot falsify a gradient.

        Args:
            force: detach first where the tensor requires grad.

        Raises:
            RuntimeError: the tensor requires grad and ``force`` is not set.
        """
        if self.requires_grad and not force and mode.recording:
            raise RuntimeError(
                "numpy: the tensor requires grad, and NumPy would not record what is done to it; "
                "use tensor.detach().numpy()"
            )
        return _export(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(
                    f"__array__: {array.dtype} to {dtype} cannot be had without a copy"
                )
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if stream is not None:
            raise BufferError(f"__dlpack__: the CPU has no streams; got stream={stream!r}")
        array = self.numpy()
        if copy:
            array = array.copy()
        elif self._data.flags.writeable and not array.flags.writeable:
            # Not every library heeds DLPack's read-only flag.
            raise BufferError(
                "__dlpack__: a recorded graph needs the tensor's values, and a write from outside "
                "would falsify its gradients; pass copy=True, or use clone() or numpy()"
            )
        if not _NUMPY_TAKES_DLPACK_VERSIONS:
            return array.__dlpack__()
        return array.__dlpack__(max_version=max_version, dl_device=dl_device)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __buffer__(self, flags: int) -> memoryview:
        return self.numpy().data

    def tolist(self) -> Any:
        """The values as nested Python lists; a scalar for a 0-d tensor."""
        return self._data.tolist()

    def item(self) -> Any:
        """The only element as a Python scalar.

        Raises:
            RuntimeError: the tensor has more or fewer elements than one.
        """
        if self._data.size != 1:
            raise RuntimeError(f"item: the tensor must have one element; it has shape {self.shape}")
        return self._data.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub" or self._data.size != 1:
            raise TypeError(
                "index: only an integer tensor of one element can be an index; "
                f"got dtype {self.dtype} and shape {self.shape}"
            )
        return int(self._data.item())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError(
                f"bool: a tensor of shape {self.shape} has no single truth value; "
                "use any() or all()"
            )
        return bool(self._data.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self._data.ndim == 0 and spec else str(self)

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len: a 0-d tensor has no length")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iteration: a 0-d tensor cannot be iterated over")
        return iter([self[i] for i in range(len(self))])

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == (value._data if isinstance(value, Tensor) else value)).any())

    __hash__ = object.__hash__

    # ---------------------------------------------------------------- copies

    def __copy__(self) -> Tensor:
        out = Variable.__new__(type(self))
        out._data = self._data
        out._base = self if self._base is None else self._base
        out._requires_grad, out._node, out._grad = self._requires_grad, self._node, self._grad
        return out

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.grad_fn is not None:
            raise RuntimeError(
                "deepcopy: only leaf tensors can be deep-copied; this one was made by "
                f"{self._node.name}: use detach().clone()"
            )
        out = Variable.__new__(type(self))
        memo[id(self)] = out
        out._data = self._data.copy(order="K")
        out._requires_grad = self._requires_grad
        out._grad = copy.deepcopy(self._grad, memo)
        out.__dict__.update(copy.deepcopy(self._attributes(), memo))
        return out

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.grad_fn is not None:
            raise RuntimeError(
                "pickle: only leaf tensors can be pickled; this one was made by "
                f"{self._node.name}: use detach()"
            )
        state = (np.ascontiguousarray(self._data).reshape(self.shape), self._requires_grad)
        return _rebuild, (type(self), *state), self._attributes() or None

    def _attributes(self) -> dict[str, Any]:
        """What the user has set on the tensor, without the book-keeping of hooks."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_hooks", "_accumulate_hooks", "_retains_grad")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # ---------------------------------------------------------------- printing

    def __repr__(self) -> str:
        return describe(self)


make_tensors_of(Tensor)


def view_chain(tensor: Tensor) -> tuple[tuple[Any, int | None, tuple[Any, ...]], ...]:
    """The operations that lead from a view's base to it: ``(op, index, arguments)`` each."""
    chain = []
    while tensor._view is not None:
        view = tensor._view
        chain.append((view.op, view.index, view.arguments))
        tensor = view.parent
    return tuple(reversed(chain))


def _rebuild(cls: type[Tensor], array: np.ndarray, requires_grad: bool) -> Tensor:
    out = Variable.__new__(cls)
    out._data = dtypes.canonical(array)
    out._requires_grad = requires_grad
    return out


class _Exporter:
    """Owns an exported array's memory, so that NumPy's views of it keep *it* alive.

    NumPy lets the base of a view of a view be the first array, but stops at an object that is no
    array; a weak reference to this one therefore lives as long as anybody can write.
    """

    __slots__ = ("__array_interface__", "__weakref__", "array")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


def _export(tensor: Tensor) -> np.ndarray:
    array = tensor._data
    memory = memory_of(tensor)
    owner = tensor if tensor._base is None else tensor._base
    # Three references are the owner's, the local one and the call's; a fourth is a node that kept
    # the contents.
    if sys.getrefcount(owner._memory) > 3 or not array.flags.writeable:
        out = array.view()
        out.flags.writeable = False
        return out
    if memory.exported is True:
        return array.view()
    exporter = _Exporter(array)
    if memory.is_exported():
        memory.exported.append(weakref.ref(exporter))
    else:
        memory.exported = [weakref.ref(exporter)]
    return np.asarray(exporter)


# -------------------------------------------------------------------- arrays from anything


def to_array(data: Any, dtype: Any, caller: str, copy: bool) -> np.ndarray:
    """An array of what ``data`` says: Python numbers, nested sequences, arrays, tensors.

    Python floats become the default dtype, Python ints int64, and NumPy arrays and tensors keep
    theirs.
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype, caller)
    if isinstance(data, Tensor):
        array = data._data
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        array, wanted = _from_python(data, wanted, caller)
        copy = False
    if array.dtype not in dtypes.ALL:
        if array.dtype.newbyteorder("=") not in dtypes.ALL:
            raise TypeError(f"{caller}: data must be numeric; got an array of dtype {array.dtype}")
        array = array.astype(array.dtype.newbyteorder("="))
    if wanted is not None and array.dtype != wanted:
        with np.errstate(all="ignore"):  # as `cast`
            return array.astype(wanted)
    array = dtypes.canonical(array)
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)
    return array.copy() if copy else array


def _from_python(data: Any, wanted: Any, caller: str) -> tuple[np.ndarray, Any]:
    data, keeps_dtype = _unwrap(data, caller)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(
            f"{caller}: data must be rectangular, every sequence of one level of the same length "
            f"({error})"
        ) from None
    except OverflowError as error:
        raise OverflowError(f"{caller}: {error}") from None
    if array.dtype == object and all(isinstance(x, (int, float)) for x in array.ravel()):
        raise OverflowError(f"{caller}: data must fit 64 bits; got {max(array.ravel(), key=abs)}")
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"{caller}: data must be a number, a nested sequence of numbers, an array or a "
            f"tensor; got {_kind(data)}"
        )
    if wanted is None and not keeps_dtype:
        if array.dtype == np.float64 or array.size == 0 and not hasattr(data, "dtype"):
            wanted = dtypes.get_default_dtype()
        elif array.dtype == np.complex128:
            wanted = np.result_type(dtypes.get_default_dtype(), np.complex64)
    return array, wanted


def _unwrap(data: Any, caller: str) -> tuple[Any, bool]:
    """Nested sequences with tensors replaced by arrays; and whether any typed array was among them.

    Arrays keep their dtype (as PyTorch infers it from the first scalar); only bare Python floats
    take the default one.
    """
    if isinstance(data, Tensor):
        return data._data, True
    if isinstance(data, (list, tuple)):
        if not data or type(data[0]) in (bool, int, float, complex):
            return data, False
        pairs = [_unwrap(item, caller) for item in data]
        return [item for item, _ in pairs], any(typed for _, typed in pairs)
    if isinstance(data, (np.ndarray, np.generic)):
        return data, True
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return np.asarray(data), True
    if isinstance(data, range):
        return list(data), False
    return data, False


def _kind(data: Any) -> str:
    if isinstance(data, (list, tuple)):
        inner = next((item for item in data if not isinstance(item, (int, float, complex))), None)
        return f"a {type(data).__name__} with {_kind(inner)} in it"
    return repr(data) if isinstance(data, str) or data is None else type(data).__name__


# -------------------------------------------------------------------- printing


def describe(tensor: Tensor) -> str:
    """``tensor([...], dtype=..., requires_grad=True)``: values, then what is not the default."""
    array = tensor._data
    name = "tensor" if type(tensor) is Tensor else type(tensor).__name__
    prefix = f"{name}("
    body = np.array2string(
        array,
        separator=", ",
        prefix=prefix,
        threshold=1000,
        formatter=_formatters(array) if array.size else None,  # type: ignore[arg-type]
    )
    if array.size == 0:
        body = "[]"
    notes = []
    if array.size == 0 and array.shape != (0,):
        notes.append(f"shape={array.shape}")
    if array.dtype not in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_):
        notes.append(f"dtype=lucid.{array.dtype.name}")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return prefix + ", ".join([body, *notes]) + ")"


def _formatters(array: np.ndarray) -> dict[str, Callable[[Any], str]] | None:
    """How PyTorch writes numbers: "1." where all are whole, else four decimals, or exponents."""
    if array.dtype.kind not in "fc":
        return None
    if array.size > 1000:  # only the corners are printed
        for axis, length in enumerate(array.shape):
            if length > 6:
                array = array.take([0, 1, 2, -3, -2, -1], axis)
    parts = np.concatenate([array.real.ravel(), array.imag.ravel()]).astype(np.float64)
    parts = parts[np.isfinite(parts)]
    sizes = np.abs(parts[parts != 0])
    whole = bool((parts == np.round(parts)).all())
    exponent = sizes.size and (
        sizes.max() / sizes.min() > 1000 or sizes.max() > 1e8 or not whole and sizes.min() < 1e-4
    )
    number: Callable[[Any], str]
    if exponent:
        number = "{:.4e}".format
    elif whole:
        number = lambda x: f"{x:.0f}." if math.isfinite(x) else f"{x}"  # noqa: E731
    else:
        number = "{:.4f}".format
    if array.dtype.kind == "c":
        return {
            "complex_kind": lambda x: (
                f"{number(x.real)}{'-' if math.copysign(1, x.imag) < 0 else '+'}"
                f"{number(abs(x.imag))}j"
            )
        }
    width = max(len(number(float(x))) for x in array.ravel())
    return {"float_kind": lambda x: f"{number(x):>{width}}"}
