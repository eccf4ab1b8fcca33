"""Types for the compiled op.py: the fields of its records, and the functions on the hot path."""

cimport cython

from lucid._core.tape cimport (
    Memory,
    Node,
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


cdef class Plan:
    cdef public object op, collect, tracked, rules
    cdef public tuple need
    cdef public bint keeps


cdef class Op:
    cdef object __weakref__
    cdef public object name, operator, call, forward, joint
    cdef public object required, attributes, places
    cdef public tuple inputs, defaults
    cdef public Py_ssize_t least
    cdef public dict rules, plans
    cdef public object variadic
    cdef public bint differentiable, floating, view

    cpdef plan(self, which, count=*)


@cython.locals(node=Node)
cpdef record(Plan plan, tuple edges, inputs, arrays, attributes, Variable result)


@cython.locals(place=Py_ssize_t, index=Py_ssize_t, memory=Memory, versions=list)
cdef _track(Plan plan, tuple saved, inputs, result)


@cython.locals(given=Py_ssize_t, count=Py_ssize_t)
cdef _call(Op op, tuple args, dict kwargs)


@cython.locals(arrays=list, edges=list, wanted=cython.bint, tensor=Variable, result=Variable)
cpdef apply(Op op, inputs, attributes)


cpdef marks(edges)


@cython.locals(result=Variable)
cpdef _apply_unary(Op op, Variable x)


@cython.locals(result=Variable, edges=tuple)
cpdef _apply_binary(Op op, Variable x, Variable y, a, b)


cdef bint _differentiable(dtype)
