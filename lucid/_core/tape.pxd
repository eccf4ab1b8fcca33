"""The fields of the tape's classes, for compiled code; tape.pyx says what they are."""

cdef class Variable:
    cdef public object _data, _requires_grad, _node, _grad
    cdef public Memory _memory
    cdef public Variable _base
    cdef public View _view
    cdef public Py_ssize_t _generation

cdef class Memory:
    cdef public Py_ssize_t version
    cdef public object exported
    cpdef bint is_exported(self)

cdef class View:
    cdef readonly Variable parent
    cdef readonly object op, index
    cdef readonly tuple arguments
    cdef public Py_ssize_t generation

cdef class Node:
    cdef readonly Py_ssize_t seq
    cdef readonly object plan, dtype
    cdef readonly tuple inputs, shape
    cdef public object saved, trace
    cdef public tuple versions
    cdef public list hooks
    cdef object __weakref__
    cpdef check(self)
    cdef refuse(self)

cdef class Output(Node):
    cdef readonly Node node
    cdef readonly Py_ssize_t index

cpdef bint recording()
cpdef Variable wrap(array)
cpdef Variable constant(value)
cpdef Memory memory_of(Variable tensor)
cpdef note_write(Variable tensor)
cpdef link_view(Variable view, Variable parent, op, index, tuple arguments)
cpdef refresh(Variable tensor)
cpdef edge_of(Variable tensor)
cpdef Node new_node(plan, tuple inputs, saved, tuple versions, out)
cpdef bint fits(gradient, edge)
cpdef bint owns_its_memory(array)
