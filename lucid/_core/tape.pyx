"""The tape: a node per recorded operation, and what backward needs to know of tensors and memory.

A node is younger than the nodes it depends on, so sorting by age (``Node.seq``) is a topological
order: the backward pass needs no recursion and no dependency counts.

An edge says where a gradient goes: the :class:`Node` that made a tensor, the leaf tensor itself,
or ``None`` where no gradient is wanted.

What every operation makes and reads is a compiled class here: ``tape.pxd`` gives each field a
fixed place, where compiled code finds it without looking a name up.
"""

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from numpy cimport ndarray

import numpy as np

from lucid.errors import GraphFreedError, InPlaceError

cnp.import_array()

cdef extern from *:
    """
    static _Thread_local int lucid_paused, lucid_inference;
    #define LUCID_ITEM(list, i) PyList_GET_ITEM(list, i)
    #define LUCID_CLASS(object) ((PyObject *)Py_TYPE(object))
    #define LUCID_NEW(base, cls, arguments) \
        ((PyTypeObject *)(base))->tp_new((PyTypeObject *)(cls), arguments, NULL)
    """
    int lucid_paused, lucid_inference
    PyObject* LUCID_ITEM(list objects, Py_ssize_t i)  # borrowed
    PyObject* LUCID_CLASS(PyObject* item)  # borrowed
    object LUCID_NEW(type base, type cls, tuple arguments)

cdef enum:
    FEW = 16  # values that are compared with each other, instead of through a table


# -------------------------------------------------------------------- whether to record


cdef class Mode:
    """Of each thread: whether operations are recorded, and whether it is in `inference_mode`."""

    @property
    def recording(self):
        return not lucid_paused

    @recording.setter
    def recording(self, bint value):
        global lucid_paused
        lucid_paused = not value

    @property
    def inference(self):
        return lucid_inference != 0

    @inference.setter
    def inference(self, bint value):
        global lucid_inference
        lucid_inference = value


mode = Mode()


cpdef bint recording():
    """`mode.recording`, for compiled code."""
    return not lucid_paused


# -------------------------------------------------------------------- tensors and their memory


@cython.auto_pickle(False)
cdef class Variable:
    """What the tape knows of a tensor; `Tensor` adds what users see of it.

    Attributes:
        _data: the array.
        _requires_grad: whether operations on it are recorded.
        _node: the node or the `Output` that made it.
        _grad: the tensor that backward accumulates in.
        _memory: what is known of its memory; only where it owns that: see `memory_of`.
        _base: the tensor whose memory this one shares.
        _view: how to make it from its base again.
        _generation: of a base, how often an in-place write has replaced its node.
    """

    def __cinit__(self):
        self._requires_grad = False  # and not None, with which fields begin


cdef type tensor_class = Variable


def make_tensors_of(type cls not None):
    """Says what `wrap` makes."""
    global tensor_class
    if not issubclass(cls, Variable):
        raise TypeError(f"make_tensors_of: cls must derive from Variable; got {cls.__name__}")
    tensor_class = cls


cpdef Variable wrap(array):
    """A tensor around the array itself, recorded by nobody."""
    cdef Variable made = LUCID_NEW(Variable, tensor_class, ())
    made._data = array
    return made


cpdef Variable constant(value):
    """A Python number among an operation's inputs: what the tape asks of a tensor, and no more."""
    cdef Variable made = Variable.__new__(Variable)
    made._data = value
    return made


@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Memory:
    """One block of memory, shared by a tensor and its views.

    ``version`` counts the in-place writes. A node that keeps the block's contents remembers the
    version it saw, and holds this object: that something besides the tensor refers to it is how
    ``numpy()`` knows that a graph still needs the contents. ``exported`` holds weak references
    to the writable NumPy arrays that were handed out (True: the memory came from outside), through
    which a write could pass unseen; a node then keeps a copy.
    """

    cpdef bint is_exported(self):
        """Whether somebody can still write to the block without lucid seeing it."""
        if self.exported is None or self.exported is True:
            return self.exported is True
        self.exported = [ref for ref in self.exported if ref() is not None] or None
        return self.exported is not None


cpdef Memory memory_of(Variable tensor):
    """What is known of the memory that ``tensor`` lives in."""
    cdef Variable owner = tensor if tensor._base is None else tensor._base
    if owner._memory is None:
        owner._memory = Memory.__new__(Memory)
    return owner._memory


cpdef note_write(Variable tensor):
    """Says that ``tensor``'s memory was, or is about to be, written to in place."""
    cdef Memory memory = memory_of(tensor)
    memory.version += 1


def note_writes(list tensors not None):
    """`note_write` of all, at a few ns each; what no graph has seen yet has no version to count."""
    cdef Variable tensor
    for tensor in tensors:
        if tensor._base is not None:
            note_write(tensor)
        elif tensor._memory is not None:
            tensor._memory.version += 1


# -------------------------------------------------------------------- views


@cython.auto_pickle(False)
cdef class View:
    """How a view was made: from which tensor, by which operation, at which state of the base.

    Attributes:
        parent, op, arguments: ``op.call(parent, *arguments)`` makes it anew.
        index: which of the results it is, of an operation with several; else None.
        generation: the state of the base that its node belongs to.
    """

    def __init__(
        self, Variable parent not None, op, index, tuple arguments not None, Py_ssize_t generation
    ):
        self.parent = parent
        self.op = op
        self.index = index
        self.arguments = arguments
        self.generation = generation

    def again(self):
        """The view anew, with the node that it has now."""
        out = self.op.call(self.parent, *self.arguments)
        return out if self.index is None else out[self.index]


cdef Py_ssize_t generation_of(Variable tensor):
    return 0 if tensor._base is None else tensor._base._generation


cpdef link_view(Variable view, Variable parent, op, index, tuple arguments):
    """Ties a tensor that shares its parent's memory to it."""
    view._base = parent if parent._base is None else parent._base
    view._view = View(parent, op, index, arguments, generation_of(view))


cpdef refresh(Variable tensor):
    """Gives a view its node anew where an in-place write to its base has replaced the base's.

    To be called before reading ``_node`` or ``_requires_grad`` of a tensor with a ``_base``.
    """
    cdef Variable again
    cdef list chain = []
    while tensor._view is not None and tensor._view.generation != generation_of(tensor):
        chain.append(tensor)
        tensor = tensor._view.parent
    if not chain:
        return
    before, mode.recording = mode.recording, True
    try:
        for tensor in reversed(chain):
            again = tensor._view.again()
            tensor._node, tensor._requires_grad = again._node, again._requires_grad
            tensor._view.generation = generation_of(tensor)
    finally:
        mode.recording = before


# -------------------------------------------------------------------- nodes and edges


cpdef edge_of(Variable tensor):
    """Where the tensor's gradient goes: a node, the tensor itself, or None."""
    if tensor._base is not None:
        refresh(tensor)
    if not tensor._requires_grad:
        return None
    return tensor if tensor._node is None else tensor._node


class Freed:
    """Stands in for what a node kept once backward has used it."""


FREED = Freed()

cdef Py_ssize_t age = 0


@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Node:
    """One recorded operation.

    Attributes:
        seq: the age; larger is younger.
        inputs: where gradients go on to, an edge per input.
        shape, dtype: of the output, and so of the gradient that arrives.
        hooks: functions that see, and may replace, the arriving gradient.
        plan: the operation's gradient rules for the inputs that need a gradient.
        saved: what the rules need, in the order the plan gives.
        versions: ``(memory, version)`` for each saved tensor, checked before use.
        trace: where the operation was called, in anomaly mode.
    """

    def __cinit__(self):
        global age
        self.seq = age
        age += 1

    @property
    def name(self):
        """The operation's name."""
        return self.plan.op.name

    @property
    def next_functions(self):
        """The nodes that gradients go on to, in PyTorch's form."""
        return tuple([(edge, 0) for edge in self.inputs])

    def register_hook(self, hook):
        """Calls ``hook(gradient)`` with the gradient of this node's output during backward."""
        if self.hooks is None:
            self.hooks = []
        return RemovableHandle(self.hooks, hook)

    cpdef check(self):
        """Raises if what the node kept was freed, or written to since."""
        cdef Memory memory
        if self.saved is FREED:
            raise GraphFreedError(
                f"backward: the tensors that {self.name} saved were freed by an earlier backward "
                "pass through this graph; call the first one with retain_graph=True to go through "
                "it twice, or compute the loss again"
            )
        for kept, version in self.versions:
            if type(kept) is Memory:
                memory = kept
                if memory.version == <Py_ssize_t>version:
                    continue
            elif kept.version == version:
                continue
            self.refuse()

    cdef refuse(self):
        for (memory, version), tracked in zip(self.versions, self.plan.tracked, strict=True):
            if memory.version != version:
                raise InPlaceError(
                    f"backward: {self.name} saved its {tracked[2]} (of shape "
                    f"{np.shape(self.saved[tracked[0]])}) at version {version}, but an in-place "
                    f"operation has since written to it: it is at version {memory.version}. "
                    "Use the out-of-place operation, or write to a clone()"
                )

    def __repr__(self):
        return f"<{self.name} backward>"


cpdef Node new_node(plan, tuple inputs, saved, tuple versions, out):
    """The youngest node, for an operation that returned ``out``: an array, or a tuple of them."""
    cdef Node made = Node.__new__(Node)
    made.plan = plan
    made.inputs = inputs
    made.saved = saved
    made.versions = versions
    if type(out) is tuple:
        made.shape = tuple([array.shape for array in out])
        made.dtype = tuple([array.dtype for array in out])
    else:
        made.shape = out.shape
        made.dtype = out.dtype
    return made


@cython.auto_pickle(False)
cdef class Output(Node):
    """One of the results of an operation with several; gathers the gradient for its node."""

    def __init__(self, Node node not None, Py_ssize_t index, array):
        self.node = node
        self.inputs = (node,)
        self.index = index
        self.shape = array.shape
        self.dtype = array.dtype

    @property
    def name(self):
        return self.node.name

    @property
    def next_functions(self):
        return ((self.node, self.index),)

    def __repr__(self):
        return f"<{self.name} backward, output {self.index}>"


cpdef bint fits(gradient, edge):
    """Whether a gradient is an array (or a tensor) of the dtype and shape of what it is for."""
    cdef ndarray array, like
    cdef Node node
    cdef int i
    if isinstance(gradient, Variable):
        gradient = (<Variable>gradient)._data
    if not isinstance(gradient, ndarray):
        return False
    array = gradient
    if isinstance(edge, Variable):
        like = (<Variable>edge)._data
        if like is None:
            return False
        return cnp.PyArray_DESCR(array) is cnp.PyArray_DESCR(like) and cnp.PyArray_SAMESHAPE(
            array, like
        )
    node = edge
    if <PyObject*>cnp.PyArray_DESCR(array) is not <PyObject*>node.dtype:
        return False
    if len(node.shape) != cnp.PyArray_NDIM(array):
        return False
    for i in range(cnp.PyArray_NDIM(array)):
        if <cnp.npy_intp>node.shape[i] != cnp.PyArray_DIM(array, i):
            return False
    return True


cpdef bint owns_its_memory(array):
    """Whether the memory is the array's own: nobody else's, contiguous, aligned and writeable."""
    cdef ndarray found = array
    return cnp.PyArray_BASE(found) is NULL and cnp.PyArray_ISCARRAY(found)


class RemovableHandle:
    """Takes a hook out again: ``handle.remove()``, or at the end of a ``with`` block."""

    __slots__ = ("_hook", "_hooks")

    def __init__(self, hooks, hook, first=False):
        if not callable(hook):
            raise TypeError(f"register_hook: hook must be callable; got {type(hook).__name__}")
        self._hooks, self._hook = hooks, hook
        hooks.insert(0 if first else len(hooks), hook)

    def remove(self):
        """Removes the hook; a second call does nothing."""
        for i, hook in enumerate(self._hooks):
            if hook is self._hook:
                del self._hooks[i]
                break
        self._hooks = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


# -------------------------------------------------------------------- one field of many tensors


cdef tuple FIELDS = ("_data", "_grad", "_base", "_requires_grad")


cdef inline PyObject* field_of(
    int which, list tensors, Py_ssize_t i, PyObject** checked
) except NULL:
    """That field of tensor i; None is one of the answers. `checked`: the last class that was."""
    cdef PyObject* item = LUCID_ITEM(tensors, i)
    if LUCID_CLASS(item) is not checked[0]:
        if not isinstance(<object>item, Variable):
            raise TypeError(
                f"object {i} must be a Tensor; got {type(<object>item).__name__}"
            )
        checked[0] = LUCID_CLASS(item)
    if which == 0:
        return <PyObject*>(<Variable>item)._data
    if which == 1:
        return <PyObject*>(<Variable>item)._grad
    if which == 2:
        return <PyObject*>(<Variable>item)._base
    return <PyObject*>(<Variable>item)._requires_grad


cdef class Field:
    """One field of many tensors in one call, at a few ns each: `Field("_data").values(tensors)`.

    What is read is borrowed from its tensor until it stands in a list: nothing that could run
    Python code, such as making a list, may come in between.
    """

    cdef int which  # of FIELDS

    def __cinit__(self, str name not None):
        if name not in FIELDS:
            raise ValueError(f"Field: name must be one of {', '.join(FIELDS)}; got {name!r}")
        self.which = FIELDS.index(name)

    def values(self, list tensors not None):
        """The values in order, without None."""
        cdef list found = []
        cdef Py_ssize_t i
        cdef PyObject* value
        cdef PyObject* checked = NULL
        for i in range(len(tensors)):
            value = field_of(self.which, tensors, i, &checked)
            if value is not <PyObject*>None:
                found.append(<object>value)
        return found

    def distinct(self, list tensors not None):
        """The values in order, each object once, without None."""
        cdef Py_ssize_t n = len(tensors), i, j, size = 2 * FEW
        cdef list found = []
        cdef PyObject* value
        cdef PyObject* checked = NULL
        cdef PyObject** table = NULL  # a hash table of the values found
        if n > FEW:
            while size < 2 * n:
                size *= 2
            table = <PyObject**>calloc(size, sizeof(PyObject*))
            if table is NULL:
                raise MemoryError(f"Field: no memory for a table of {n} objects")
        try:
            for i in range(n):
                value = field_of(self.which, tensors, i, &checked)
                if value is <PyObject*>None:
                    continue
                if table is NULL:
                    for j in range(len(found)):
                        if LUCID_ITEM(found, j) is value:
                            break
                    else:
                        found.append(<object>value)
                    continue
                j = ((<uintptr_t>value >> 4) * <uintptr_t>0x9E3779B97F4A7C15 >> 17) & (size - 1)
                while table[j] is not NULL and table[j] is not value:
                    j = (j + 1) & (size - 1)
                if table[j] is NULL:
                    table[j] = value
                    found.append(<object>value)
        finally:
            free(table)
        return found


def classes(list objects not None):
    """The classes of the objects, each once."""
    cdef Py_ssize_t n = len(objects), i
    cdef list found = []
    cdef PyObject* last = NULL
    for i in range(n):
        kind = type(<object>LUCID_ITEM(objects, i))
        if <PyObject*>kind is not last and kind not in found:
            found.append(kind)
        last = <PyObject*>kind
    return found
