"""The operation record: what one block in :mod:`lucid.ops` declares, and how a call is recorded.

An operation is a forward function on arrays and one gradient rule per input::

    @binary
    def mul(x, y):
        '''Docstring.'''
        return B.mul(x, y)

    mul.gradient(x=lambda F, g, y: F.mul(g, y), y=lambda F, g, x: F.mul(g, x))

A rule gets a namespace ``F`` of operations, the gradient ``g`` of the output and whatever else
its parameters name: an input (``x``), the output (``out``), an attribute (``dim``) or the shape or
dtype of an input (``x_shape``, ``x_dtype``). *The parameters of a rule are the declaration of what
the operation keeps for backward*: only what the rules of the inputs that do need a gradient name
is kept. ``F`` is either the forward functions (ordinary backward, on arrays) or the recorded
operations (``create_graph=True``, on tensors), so a rule is also its own second derivative.

Rules need not undo broadcasting or dtype promotion: the engine does, for every edge.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.grad_mode import anomaly
from lucid._core.tape import (
    Memory,
    Output,
    Variable,
    constant,
    edge_of,
    link_view,
    memory_of,
    new_node,
    note_write,
    recording,
    wrap,
)
from lucid._core.tensor import Tensor, to_array
from lucid.errors import ShapeError

_float32, _ndarray = dtypes.float32, np.ndarray

OPS: dict[str, Op] = {}
"""Every operation by name; the tests are driven by it."""

ARRAYS = SimpleNamespace()
"""``F`` of an ordinary backward pass: forward functions, on arrays."""

TENSORS = SimpleNamespace()
"""``F`` under ``create_graph=True``: recorded operations, on tensors."""


# The one constant that rules make themselves.
ARRAYS.zeros = np.zeros
TENSORS.zeros = lambda shape, dtype: wrap(np.zeros(shape, dtype))


def fused_rule(name: str, kernel: Callable[..., Any], composed: Callable[..., Any]) -> None:
    """Gives rules a fused ``F.name``: ``kernel`` on arrays; on tensors ``composed(F, ...)``.

    ``composed`` says the same in recorded operations, which makes it differentiable again, and in
    terms of arrays it is what the kernel is tested against.
    """
    setattr(ARRAYS, name, kernel)
    setattr(TENSORS, name, functools.partial(composed, TENSORS))
    FUSED_RULES[name] = composed


FUSED_RULES: dict[str, Callable[..., Any]] = {}


class Plan:
    """The rules of one operation for one set of inputs that need a gradient.

    Attributes:
        collect: ``(arrays, out, attributes) -> saved``, made to measure.
        tracked: ``(position in saved, input index or -1 for the output, name)`` of saved tensors;
            of a user's Function with several outputs -1, -2, ...
        rules: ``(input index, rule, saved -> its arguments)``; index -1: one rule for all inputs;
            None for the function where the arguments are all that is saved.
    """

    __slots__ = ("collect", "keeps", "need", "op", "rules", "tracked")

    def __init__(self, op: Op, which: int, count: int) -> None:
        self.op: Any = op
        self.need = need = tuple([bool(which >> i & 1) for i in range(count)])
        wanted = (
            [(-1, op.joint)]
            if op.joint is not None
            else [(i, op.rules[name]) for i, name in enumerate(op.inputs) if need[i]]
        )
        parameters = [list(inspect.signature(rule).parameters)[2:] for _, rule in wanted]
        names = list(dict.fromkeys(name for group in parameters for name in group))
        places = {name: i for i, name in enumerate(names)}
        sources = [self._source(name) for name in names]
        self.keeps = bool(names)
        # Made by eval, as namedtuple does it: a tuple display is several times faster than a loop.
        self.collect = eval(f"lambda a, out, k: ({''.join(s + ',' for s in sources)})")
        self.tracked = tuple(
            (places[name], index, name) for name in names if (index := self._tracked(name)) >= -1
        )
        self.rules = tuple(
            (i, rule, self._arguments([places[name] for name in group], len(names)))
            for (i, rule), group in zip(wanted, parameters, strict=True)
        )

    @staticmethod
    def _arguments(places: list[int], count: int) -> Any:
        if places == list(range(count)):
            return None
        return eval(f"lambda s: ({''.join(f's[{i}],' for i in places)})")

    def _source(self, name: str) -> str:
        op = self.op
        if name == "need":
            return repr(self.need)
        if name == "out":
            return "out"
        if name in op.inputs:
            return f"a[{op.inputs.index(name)}]"
        if name in op.attributes:
            return f"k[{op.attributes.index(name)}]"
        base, _, what = name.rpartition("_")
        if what in ("shape", "dtype") and base in op.inputs:
            return f"a[{op.inputs.index(base)}].{what}"
        if op.variadic and name == "shapes":
            return "[x.shape for x in a]"
        if op.variadic and name == op.variadic:
            return "tuple(a)"
        raise TypeError(
            f"{op.name}: a gradient rule names {name!r}, which is no input or attribute"
        )

    def _tracked(self, name: str) -> int:
        return -1 if name == "out" else self.op.inputs.index(name) if name in self.op.inputs else -2


class Op:
    """One operation: its name, forward function, gradient rules and the rules' plans."""

    __slots__ = (
        "__weakref__",
        "attributes",
        "call",
        "defaults",
        "differentiable",
        "floating",
        "forward",
        "inputs",
        "joint",
        "least",
        "name",
        "operator",
        "places",
        "plans",
        "required",
        "rules",
        "variadic",
        "view",
    )

    def __init__(
        self,
        declared: Callable[..., Any],
        inputs: int | None,
        floating: bool,
        view: bool,
        forward: Callable[..., Any] | None = None,
    ) -> None:
        self.name = declared.__name__.rstrip("_")
        self.forward = forward = forward or declared
        parameters = list(inspect.signature(declared).parameters.values())
        names = tuple(p.name for p in parameters)
        self.variadic = names[0] if inputs is None else ""
        count = 0 if inputs is None else inputs
        first = 1 if inputs is None else inputs
        self.inputs = names[:count]
        # A bit per input that may not be None: those annotated as arrays and nothing else.
        self.required = sum(
            1 << i for i, p in enumerate(parameters[:count]) if p.annotation == "Array"
        )
        self.attributes = names[first:]
        self.defaults = tuple(p.default for p in parameters)
        self.least = sum(default is MISSING for default in self.defaults)
        self.places = {name: i for i, name in enumerate(names)}
        self.places |= {
            spelling: self.places[name]
            for spelling, name in _SPELLINGS.items()
            if name in self.places and spelling not in self.places
        }
        self.floating = floating
        self.view = view
        self.rules: dict[str, Callable[..., Any]] = {}
        self.joint: Callable[..., Any] | None = None
        self.differentiable = False
        self.plans: dict[Any, Plan] = {}
        self.call: Callable[..., Any] = declared
        self.operator: Callable[..., Any] = declared
        if self.name in OPS:
            raise TypeError(f"the operation {self.name} is declared twice")
        OPS[self.name] = self
        setattr(ARRAYS, self.name, forward)

    def gradient(self, joint: Callable[..., Any] | None = None, /, **rules: Any) -> Any:
        """Declares the rules: one per input by name, or one that returns a tuple for all inputs."""
        for name in rules:
            if name not in self.inputs:
                raise TypeError(f"{self.name} has no input {name!r}: {self.inputs}")
        self.rules.update(rules)
        self.joint = joint or self.joint
        self.differentiable = True
        return joint

    def plan(self, which: int, count: int = 0) -> Plan:
        """The plan for the inputs that the bits of ``which`` mark; ``count``: of a variadic one."""
        key = (which, count) if self.variadic else which
        found = self.plans.get(key)
        if found is None:
            for i, name in enumerate(self.inputs):
                if which >> i & 1 and self.joint is None and name not in self.rules:
                    raise RuntimeError(
                        f"{self.name}: has no gradient with respect to {name}; detach() it"
                    )
            found = self.plans[key] = Plan(self, which, count or len(self.inputs))
        return found

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The call's arguments in order, defaults filled in, NumPy's spellings accepted."""
        places, defaults = self.places, self.defaults
        if len(args) > len(defaults):
            raise TypeError(
                f"{self.name}: takes at most {len(defaults)} arguments; got {len(args)}"
            )
        bound = [*args, *defaults[len(args) :]]
        given: list[int] = []
        for key, value in kwargs.items():
            place = places.get(key)
            if place is None:
                if key == "out" and value is None:
                    continue  # np.sum(tensor) and the like pass it on
                raise TypeError(
                    f"{self.name}: has no argument {key!r}; "
                    f"its arguments are {', '.join(self._names())}"
                )
            if place < len(args) or place in given:
                raise TypeError(f"{self.name}: the argument {key!r} was given twice")
            given.append(place)
            bound[place] = value
        if len(args) < self.least:
            for name, value in zip(self._names(), bound, strict=True):
                if value is MISSING:
                    raise TypeError(f"{self.name}: the argument {name!r} is missing")
        return bound

    def _names(self) -> tuple[str, ...]:
        return (*((self.variadic,) if self.variadic else self.inputs), *self.attributes)

    def bind_given(self, **arguments: Any) -> list[Any]:
        """`bind` for a function that spells its parameters out: what was not given is `MISSING`."""
        return self.bind((), {k: v for k, v in arguments.items() if v is not MISSING})


MISSING: Any = inspect.Parameter.empty
"""Stands for an argument that was not given."""

_SPELLINGS = {
    "axis": "dim", "keepdims": "keepdim", "axes": "dims", "a": "x", "b": "y", "input": "x",
    "self": "x", "other": "y", "exponent": "y", "tensor": "x",
}  # fmt: skip


# -------------------------------------------------------------------- recording


def record(
    plan: Plan,
    edges: tuple[Any, ...],
    inputs: Sequence[Any],
    arrays: Sequence[Any],
    attributes: Sequence[Any],
    result: Variable,
) -> None:
    """Puts the operation that made ``result`` on the tape."""
    out = result._data
    saved = plan.collect(arrays, out, attributes) if plan.keeps else ()
    versions: Any = ()
    if plan.tracked:
        saved, versions = _track(plan, saved, inputs, result)
    node = new_node(plan, edges, saved, versions, out)
    if anomaly.mode:
        node.trace = _where()
    result._node = node
    result._requires_grad = True


def _track(plan: Plan, saved: tuple[Any, ...], inputs: Sequence[Any], result: Any) -> Any:
    """``saved``, in which memory that others can write to is copied, and a ``(memory, version)``
    for each tensor in it."""
    versions: list[Any] = []
    for place, index, _ in plan.tracked:
        tensor = result if index < 0 else inputs[index]
        if type(tensor) is tuple:  # several outputs
            joint = JointMemory(tensor)
            versions.append((joint, joint.version))
            continue
        memory = UNTOUCHED if tensor is None else memory_of(tensor)
        if memory.exported is not None and memory.is_exported():
            saved = (*saved[:place], saved[place].copy(), *saved[place + 1 :])
            memory = UNTOUCHED
        versions.append((memory, memory.version))
    return saved, tuple(versions)


class JointMemory:
    """The memory of several outputs: written to when one of them is."""

    __slots__ = ("parts",)

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.parts = [memory_of(tensor) for tensor in tensors]

    @property
    def version(self) -> int:
        return sum(part.version for part in self.parts)


UNTOUCHED = Memory()
"""The memory of what nobody else can write to: a copy."""

OUTSIDE = Memory()
"""The memory of the user's own arrays: what a graph keeps of it is a copy."""
OUTSIDE.exported = True


def _where() -> str:
    """The user's part of the call stack: the frames above lucid's own."""
    frames = [f for f in traceback.extract_stack() if "/lucid/_core/" not in f.filename]
    return "".join(traceback.format_list(frames[-8:]))


def _record_multiple(
    plan: Plan,
    edges: tuple[Any, ...],
    inputs: Sequence[Any],
    arrays: Sequence[Any],
    attributes: Sequence[Any],
    results: tuple[Tensor, ...],
) -> None:
    """`record` for an operation with several outputs; ``out`` in its rules is the tuple of all."""
    outs = tuple([result._data for result in results])
    saved, versions = _track(plan, plan.collect(arrays, outs, attributes), inputs, results)
    node = new_node(plan, edges, saved, versions, outs)
    if anomaly.mode:
        node.trace = _where()
    for i, result in enumerate(results):
        if result._data.dtype.kind in "fc":
            result._node = Output(node, i, result._data)
            result._requires_grad = True


def apply(op: Op, inputs: Sequence[Any], attributes: Sequence[Any]) -> Any:
    """Runs an operation on tensors and records it where a gradient is needed: the general path."""
    arrays: list[Any] = []
    edges: list[Any] = []
    wanted = False
    for x in inputs:
        if isinstance(x, Variable):
            tensor = x
            arrays.append(tensor._data)
            edge = edge_of(tensor)
            wanted = wanted or edge is not None
            edges.append(edge)
        elif x is None and not op.required >> len(arrays) & 1:
            arrays.append(None)
            edges.append(None)
        else:
            whole = [_tensor_or_constant(op, i, x, inputs) for i, x in enumerate(inputs)]
            return apply(op, whole, attributes)
    if op.floating:
        arrays = [_as_floating(x) for x in arrays]
    try:
        out = op.forward(arrays, *attributes) if op.variadic else op.forward(*arrays, *attributes)
    except (ValueError, OverflowError) as error:
        raise explained(op.name, arrays, error) from None
    wanted = wanted and op.differentiable and recording()
    if type(out) is tuple:
        return _finish_multiple(op, inputs, edges if wanted else (), arrays, attributes, out)
    result = wrap(out if type(out) is _ndarray else np.asarray(out))
    if op.view:
        _link_view(op, inputs[0], arrays[0], attributes, result)
    if wanted and _differentiable(result._data.dtype):
        plan = op.plan(marks(edges), len(arrays))
        record(plan, tuple(edges), inputs, arrays, attributes, result)
    return result


def _differentiable(dtype: np.dtype) -> bool:
    return dtype is _float32 or dtype.kind in "fc"


def marks(edges: Sequence[Any]) -> int:
    """A bit per input that has an edge."""
    which = 0
    for i, edge in enumerate(edges):
        if edge is not None:
            which |= 1 << i
    return which


def edges_of(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """An edge per input."""
    return tuple([None if x is None else edge_of(x) for x in inputs])


def recorded(
    op: Op, inputs: Sequence[Any], arrays: Sequence[Any], attributes: Sequence[Any], out: Any
) -> Any:
    """The result of an operation whose forward leaves more for backward than it returns.

    Args:
        inputs, arrays: its tensors (or None), and what they hold.
        attributes: all its other arguments, with what forward left among them.
        out: the result, or a tuple of several.
    """
    edges = edges_of(inputs) if recording() else ()
    which = marks(edges)
    if type(out) is tuple:
        results = tuple([wrap(part) for part in out])
        if which:
            _record_multiple(op.plan(which), edges, inputs, arrays, attributes, results)
        return results
    result = wrap(out)
    if which:
        record(op.plan(which), edges, inputs, arrays, attributes, result)
    return result


def _finish_multiple(
    op: Op, inputs: Sequence[Any], edges: Any, arrays: Any, attributes: Any, outs: tuple[Any, ...]
) -> tuple[Any, ...]:
    results = tuple([wrap(np.asarray(out)) for out in outs])
    if op.view:
        for i, result in enumerate(results):
            _link_view(op, inputs[0], arrays[0], attributes, result, i)
    if edges:
        plan = op.plan(marks(edges), len(arrays))
        _record_multiple(plan, tuple(edges), inputs, arrays, attributes, results)
    return results


def _tensor_or_constant(op: Op, place: int, x: Any, inputs: Sequence[Any]) -> Any:
    """An input that may be a number or an array where there is a tensor beside it."""
    if isinstance(x, Variable) or x is None and not op.required >> place & 1:
        return x
    if isinstance(x, np.ndarray) or (
        isinstance(x, _NUMBERS) and any(isinstance(y, (Tensor, np.ndarray)) for y in inputs)
    ):
        return stand_in(_operand(x, op))
    name = f"{op.variadic}[{place}]" if op.variadic else op.inputs[place]
    raise TypeError(f"{op.name}: {name} must be a Tensor; got {_type_name(x)}")


def stand_in(value: Any) -> Variable:
    """What stands for the user's own number or array among an operation's inputs."""
    made = constant(value)
    if isinstance(value, _ndarray):
        made._memory = OUTSIDE
    return made


_NUMBERS = (bool, int, float, complex, np.generic)


def _link_view(
    op: Op, x: Any, array: np.ndarray, attributes: Any, result: Tensor, index: int | None = None
) -> None:
    """Ties a result that shares its input's memory to that input."""
    owner = result._data.base
    if owner is None or (owner is not array and owner is not array.base):
        if result._data is not array:
            return  # a copy after all, as reshape may make
        result._data = array.view()
    if isinstance(x, Tensor):
        link_view(result, x, op, index, tuple(attributes))


def _operand(x: Any, op: Op) -> Any:
    """An argument that is no tensor: Python scalars pass, arrays are taken as they are."""
    if isinstance(x, (bool, int, float, complex)):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return to_array(x, None, op.name, copy=False)
    raise TypeError(f"{op.name}: expected a Tensor; got {_type_name(x)}")


def _as_floating(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype.kind not in "fc":
        return x.astype(dtypes.get_default_dtype())
    return x


def _type_name(x: Any) -> str:
    if x is None:
        return "None"
    return f"{type(x).__name__} {x!r}" if isinstance(x, str) else type(x).__name__


# -------------------------------------------------------------------- declaring


def _publish(op: Op, call: Any, forward: Any) -> Any:
    functools.update_wrapper(call, forward)
    call.op = op
    call.gradient = op.gradient
    op.call = call
    setattr(TENSORS, op.name, call)
    return call


def operation(
    inputs: int | None = 1, *, floating: bool = False, view: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declares an operation whose first ``inputs`` parameters are tensors (None: a list of them).

    Args:
        floating: integer inputs are first cast to the default dtype.
        view: the result may share its first input's memory.
    """

    def declare(forward: Callable[..., Any]) -> Any:
        op = Op(forward, inputs, floating, view)

        def call(*args: Any, **kwargs: Any) -> Any:
            return _call(op, args, kwargs)

        return _publish(op, call, forward)

    return declare


def _call(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given, count = len(args), len(op.inputs)
    if kwargs or not op.least <= given <= len(op.defaults):
        args = tuple(op.bind(args, kwargs))
    elif given < len(op.defaults):
        args += op.defaults[given:]
    if op.variadic:
        return apply(op, _tensor_list(op, args[0]), args[1:])
    return apply(op, args[:count], args[count:])


def _tensor_list(op: Op, tensors: Any) -> list[Any]:
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise TypeError(
            f"{op.name}: {op.variadic} must be a sequence of Tensors; got {_type_name(tensors)}"
        )
    found = list(tensors)
    for i, x in enumerate(found):
        if not isinstance(x, Tensor):
            raise TypeError(f"{op.name}: {op.variadic}[{i}] must be a Tensor; got {_type_name(x)}")
    return found


def unary(
    kernel: Callable[..., Any] | None = None, *, floating: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declares an element-wise operation of one tensor: `operation` with a short way through.

    Args:
        kernel: the forward function, where it is a kernel and nothing more; the decorated
            function then only carries the name and the documentation.
        floating: integer inputs are first cast to the default dtype.
    """
    return functools.partial(_unary, kernel, floating)


def _unary(kernel: Callable[..., Any] | None, floating: bool, declared: Callable[..., Any]) -> Any:
    op = Op(declared, 1, floating, False, kernel or declared)

    def call(x: Any = MISSING, input: Any = MISSING) -> Tensor:
        if input is not MISSING:
            (x,) = op.bind_given(x=x, input=input)
        if not isinstance(x, Variable):
            op.bind_given(x=x)
            raise TypeError(f"{op.name}: x must be a Tensor; got {_type_name(x)}")
        return _apply_unary(op, x)

    return _publish(op, call, declared)


def _apply_unary(op: Op, x: Variable) -> Any:
    """`apply` for one tensor that gives one."""
    array = x._data
    if op.floating and array.dtype is not _float32:
        array = _as_floating(array)
    out = op.forward(array)
    result = wrap(out if type(out) is _ndarray else np.asarray(out))
    edge = edge_of(x)
    if edge is not None and op.differentiable and recording():
        record(op.plan(1), (edge,), (x,), (array,), (), result)
    return result


def binary(
    kernel: Callable[..., Any] | None = None, *, floating: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declares an element-wise operation of two operands that broadcast and promote.

    An operand may be a Python scalar, which does not widen the other's dtype. The arguments are
    those of `unary`.
    """
    return functools.partial(_binary, kernel, floating)


def _binary(kernel: Callable[..., Any] | None, floating: bool, declared: Callable[..., Any]) -> Any:
    op = Op(declared, 2, floating, False, kernel or declared)

    def make(unknown: Callable[..., Any]) -> Any:
        def call(
            x: Any = MISSING, y: Any = MISSING, input: Any = MISSING, other: Any = MISSING
        ) -> Tensor:
            if input is not MISSING or other is not MISSING:
                x, y = op.bind_given(x=x, y=y, input=input, other=other)
            if isinstance(x, Variable) and isinstance(y, Variable):
                a, b = x._data, y._data
                if a.dtype is not b.dtype:
                    a, b = _meet(a, b)
            else:
                x, y, a, b = _scalar_operands(op, x, y)
                if x is None:
                    return unknown(op, y)
            return _apply_binary(op, x, y, a, b)

        return call

    # As an operator it leaves an operand that it does not know to that operand's own methods.
    op.operator = make(lambda op, refusal: NotImplemented)
    return _publish(op, make(_refuse), declared)


def _apply_binary(op: Op, x: Variable, y: Variable, a: Any, b: Any) -> Any:
    """`apply` for two operands that give one tensor; ``a`` and ``b`` are what they hold."""
    if op.floating:
        a, b = _as_floating(a), _as_floating(b)
    try:
        out = op.forward(a, b)
    except (ValueError, OverflowError) as error:
        raise explained(op.name, (a, b), error) from None
    result = wrap(out if type(out) is _ndarray else np.asarray(out))
    edges = (edge_of(x), edge_of(y))
    which = (edges[0] is not None) + 2 * (edges[1] is not None)
    if which and op.differentiable and recording():
        record(op.plan(which), edges, (x, y), (a, b), (), result)
    return result


def _refuse(op: Op, refusal: str) -> Any:
    raise TypeError(f"{op.name}: {refusal}")


def explained(name: str, arrays: Sequence[Any], error: Exception) -> Exception:
    """NumPy's complaint about operands, in lucid's form; an error that is lucid's own as it is."""
    if isinstance(error, OverflowError):
        return OverflowError(f"{name}: a number is out of range: {error}")
    shapes = [np.shape(x) for x in arrays if x is not None]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        if type(error) is ValueError and "broadcast" in str(error):
            found = " and ".join(str(shape) for shape in shapes)
            return ShapeError(f"{name}: the operands must broadcast together; got {found}")
    return error


_SCALAR = constant(None)
"""Any Python scalar, where only the tape is concerned."""


def _scalar_operands(op: Op, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """A binary operation's operands where one is a Python scalar or an array.

    ``(None, what is wrong, None, None)`` where an operand is something else.
    """
    if x is MISSING or y is MISSING:
        op.bind_given(x=x, y=y)
    if isinstance(x, Tensor):
        tensor, other, name = x, y, "y"
    elif isinstance(y, Tensor):
        tensor, other, name = y, x, "x"
    else:
        return None, f"x must be a Tensor; got {_type_name(x)}", None, None
    pair = _with_scalar(tensor._data, other, op)
    if pair is None:
        wrong = f"{name} must be a Tensor, a Python number or a NumPy array"
        return None, f"{wrong}; got {_type_name(other)}", None, None
    a, b = pair
    known = stand_in(b) if isinstance(b, _ndarray) else _SCALAR
    return (x, known, a, b) if tensor is x else (known, y, b, a)


def _with_scalar(array: np.ndarray, other: Any, op: Op) -> tuple[Any, Any] | None:
    kind = type(other)
    if isinstance(other, np.generic) and not isinstance(other, (float, complex)):
        other = other.item()
        kind = type(other)
    if kind is float or kind is int or isinstance(other, (float, int, complex)):
        wanted = dtypes.result_category_with_scalar(array.dtype, other)
        if wanted is not array.dtype:
            array = array.astype(wanted)
        return array, other if kind in (float, int, bool, complex) else other.item()
    if isinstance(other, np.ndarray):
        return _meet(array, to_array(other, None, op.name, copy=False))
    return None


def _meet(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wanted = dtypes.promote(a, b)
    return (
        a if a.dtype is wanted else a.astype(wanted),
        b if b.dtype is wanted else b.astype(wanted),
    )


# -------------------------------------------------------------------- operations of the user's own


class _FunctionPlan(Plan):
    """A `Plan` for an :class:`lucid.autograd.Function`: one rule, which calls its ``backward``."""

    def __init__(self, cls: Any, ctx: Any, inputs: Sequence[Any], outs: Sequence[Tensor]) -> None:
        self.op = SimpleNamespace(name=cls.__name__)
        # Inputs and outputs among what is kept are followed; intermediate results are constants.
        known = {id(x): i for i, x in enumerate(inputs)}
        known |= {id(x): -1 - i for i, x in enumerate(outs)}
        self.tracked = tuple(
            (place, known[id(x)], f"saved tensor {place}")
            for place, x in enumerate(ctx._to_save)
            if x is not None and id(x) in known
        )
        self.rules = ((-1, _FunctionRule(cls, ctx, len(inputs), outs), None),)


class _FunctionRule:
    """The rule for all inputs: what ``backward`` of a user's Function returns, checked."""

    def __init__(self, cls: Any, ctx: Any, count: int, outs: Sequence[Tensor]) -> None:
        self.cls = cls
        self.ctx = ctx
        self.count = count
        self.shapes = tuple(out.shape for out in outs)
        self.dtypes = tuple(out.dtype for out in outs)

    def __call__(self, F: Any, g: Any, *saved: Any) -> Any:
        gradients = g if isinstance(g, list) else [g]
        if self.ctx._materialize:
            gradients = [
                F.zeros(shape, dtype) if x is None else x
                for x, shape, dtype in zip(gradients, self.shapes, self.dtypes, strict=True)
            ]
        gradients = [wrap(x) if isinstance(x, np.ndarray) else x for x in gradients]
        self.ctx._saved = tuple(wrap(x) if isinstance(x, np.ndarray) else x for x in saved)
        found = self.cls.backward(self.ctx, *gradients)
        self.ctx._saved = ()
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != self.count:
            raise RuntimeError(
                f"{self.cls.__name__}.backward: must return a gradient for each of the "
                f"{self.count} arguments of forward; got {len(found)}"
            )
        for i, x in enumerate(found):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"{self.cls.__name__}.backward: gradient {i} must be a Tensor or None; "
                    f"got {type(x).__name__}"
                )
        return found if F is TENSORS else [x if x is None else x._data for x in found]


def record_function(
    cls: Any, ctx: Any, inputs: Sequence[Any], outs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Puts a call of a user's Function on the tape."""
    plan = _FunctionPlan(cls, ctx, inputs, outs)
    edges = tuple([edge_of(x) if isinstance(x, Tensor) else None for x in inputs])
    saved = tuple([x._data if isinstance(x, Tensor) else x for x in ctx._to_save])
    node = new_node(plan, edges, saved, (), tuple([out._data for out in outs]))
    if anomaly.mode:
        node.trace = _where()
    marked = [id(x) for x in ctx._not_differentiable]
    for i, out in enumerate(outs):
        if out.dtype.kind not in "fc" or id(out) in marked:
            continue
        if any(out is x for x in ctx._dirty):
            note_write(out)
            out._generation += 1
        out._requires_grad = True
        out._node = Output(node, i, out._data)
    ctx._to_save = ()
    kept = [inputs[i] if i >= 0 else outs[-1 - i] for _, i, _ in plan.tracked]
    node.versions = tuple((memory_of(x), memory_of(x).version) for x in kept)
    return outs
