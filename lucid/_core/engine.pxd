"""Types for the compiled engine.py: what it reads at every node and leaf."""

cimport cython

from lucid._core.op cimport Plan
from lucid._core.tape cimport (
    Node,
    Output,
    Variable,
    edge_of,
    fits,
    note_write,
    owns_its_memory,
    wrap,
)


@cython.locals(node=Node, stack=list, seen=set)
cdef list _reachable(roots)


@cython.locals(nodes=list, node=Node, plan=Plan, summed=set, pending=dict)
cdef list _run(roots, targets, retain, create_graph)


cdef _add(dict pending, set summed, edge, gradient)


@cython.locals(before=Variable)
cdef _accumulate(Variable leaf, gradient, create_graph, unshared=*)
