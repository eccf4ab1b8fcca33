"""Reading one `__slots__` attribute of many objects at once.

A function that takes a thousand parameters spends more time on `p._grad._data` a thousand times
than on the arithmetic. A slot lies at a fixed offset in its object, which is how the interpreter
itself reads it once it has seen the class; here that is a loop.
"""

from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free, malloc

import types as python_types

cdef extern from *:
    """
    #include <structmember.h>
    #define LUCID_SLOT_MEMBER(descriptor) (((PyMemberDescrObject *)(descriptor))->d_member)
    #define LUCID_SLOT_TYPE(descriptor) ((PyObject *)PyDescr_TYPE(descriptor))
    #define LUCID_ITEM(list, i) PyList_GET_ITEM(list, i)
    #define LUCID_IS(object, type) PyObject_TypeCheck(object, (PyTypeObject *)(type))
    #define LUCID_NEW(type) PyType_GenericAlloc((PyTypeObject *)(type), 0)
    #define LUCID_PUT(object, offset, value) \
        (*(PyObject **)((char *)(object) + (offset)) = (value))
    """
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    PyMemberDef* LUCID_SLOT_MEMBER(object descriptor)
    PyObject* LUCID_SLOT_TYPE(object descriptor)  # borrowed
    PyObject* LUCID_ITEM(list objects, Py_ssize_t i)  # borrowed
    bint LUCID_IS(PyObject* item, object type)
    object LUCID_NEW(type cls)
    void LUCID_PUT(object item, Py_ssize_t offset, object value)
    enum:
        T_OBJECT_EX

cdef enum:
    FEW = 16  # values that are compared with each other, instead of through a table


cdef list distinct(PyObject** values, Py_ssize_t n):
    """The values in order, each object once, without None; what is left stands in `values`."""
    cdef Py_ssize_t i, j, kept = 0, size = 2 * FEW
    cdef PyObject** table = NULL
    cdef list found
    if n > FEW:
        while size < 2 * n:
            size *= 2
        table = <PyObject**>calloc(size, sizeof(PyObject*))
        if table is NULL:
            raise MemoryError(f"slots: no memory for a table of {n} objects")
    for i in range(n):
        if values[i] is NULL or values[i] is <PyObject*>None:
            continue
        if table is NULL:
            for j in range(kept):
                if values[j] is values[i]:
                    break
            else:
                values[kept] = values[i]
                kept += 1
            continue
        j = ((<uintptr_t>values[i] >> 4) * <uintptr_t>0x9E3779B97F4A7C15 >> 17) & (size - 1)
        while table[j] is not NULL and table[j] is not values[i]:
            j = (j + 1) & (size - 1)
        if table[j] is NULL:
            table[j] = values[kept] = values[i]
            kept += 1
    free(table)
    found = PyList_New(kept)
    for i in range(kept):
        Py_INCREF(<object>values[i])
        PyList_SET_ITEM(found, i, <object>values[i])
    return found


cdef class Slot:
    """One slot of a class: `Slot(Tensor._data)`."""

    cdef object owner
    cdef Py_ssize_t offset

    def __init__(self, descriptor):
        if (
            not isinstance(descriptor, python_types.MemberDescriptorType)
            or LUCID_SLOT_MEMBER(descriptor).type != T_OBJECT_EX
        ):
            raise TypeError(f"Slot: descriptor must be a slot of a class; got {descriptor!r}")
        self.owner = <object>LUCID_SLOT_TYPE(descriptor)
        self.offset = LUCID_SLOT_MEMBER(descriptor).offset

    cdef PyObject** place(self, PyObject* item, Py_ssize_t i) except NULL:
        """Where the slot of object i is."""
        if not LUCID_IS(item, self.owner):
            raise TypeError(
                f"Slot: object {i} must be a {self.owner.__name__}; "
                f"got {type(<object>item).__name__}"
            )
        return <PyObject**>(<char*>item + self.offset)

    def increment(self, list objects not None, Slot of not None):
        """Adds 1 to this slot of what the objects have in the slot `of`, where that is not None."""
        cdef Py_ssize_t i
        cdef PyObject* item
        cdef PyObject** place
        for i in range(len(objects)):
            item = of.place(LUCID_ITEM(objects, i), i)[0]
            if item is NULL or item is <PyObject*>None:
                continue
            place = self.place(item, i)
            if place[0] is NULL:
                raise AttributeError(f"Slot: the slot of object {i} was never set")
            value = <object>place[0] + 1
            Py_DECREF(<object>place[0])
            Py_INCREF(value)
            place[0] = <PyObject*>value

    def values(self, list objects not None):
        """The values in order, without None."""
        cdef list found = []
        cdef Py_ssize_t i
        cdef PyObject* value
        for i in range(len(objects)):
            value = self.place(LUCID_ITEM(objects, i), i)[0]
            if value is not NULL and value is not <PyObject*>None:
                found.append(<object>value)
        return found

    def distinct(self, list objects not None):
        """The values in order, each object once, without None."""
        cdef Py_ssize_t n = len(objects), i
        cdef PyObject* few[FEW]
        cdef PyObject** values = &few[0]
        if n > FEW:
            values = <PyObject**>malloc(n * sizeof(PyObject*))
        if values is NULL:
            raise MemoryError(f"slots: no memory for {n} objects")
        try:
            for i in range(n):
                values[i] = self.place(LUCID_ITEM(objects, i), i)[0]
            return distinct(values, n)
        finally:
            if values is not &few[0]:
                free(values)


def types(list objects not None):
    """The types of the objects, each once."""
    cdef Py_ssize_t n = len(objects), i
    cdef list found = []
    cdef PyObject* last = NULL
    for i in range(n):
        kind = type(<object>LUCID_ITEM(objects, i))
        if <PyObject*>kind is not last and kind not in found:
            found.append(kind)
        last = <PyObject*>kind
    return found


cdef class Maker:
    """Makes objects of a class with slots in one call: `Maker(Point, "x", y=None)(x)`."""

    cdef type cls
    cdef list given   # slots that a call sets
    cdef list fixed   # slots that are always the same, and
    cdef list values  # what they are

    def __init__(self, type cls not None, *given, **fixed):
        self.cls = cls
        self.given = [Slot(getattr(cls, name)) for name in given]
        self.fixed = [Slot(getattr(cls, name)) for name in fixed]
        self.values = list(fixed.values())

    def __call__(self, *values):
        cdef Py_ssize_t i
        if len(values) != len(self.given):
            raise TypeError(
                f"Maker: expected {len(self.given)} values for a {self.cls.__name__}; "
                f"got {len(values)}"
            )
        made = LUCID_NEW(self.cls)
        for i in range(len(self.given)):
            Py_INCREF(values[i])
            LUCID_PUT(made, (<Slot>self.given[i]).offset, values[i])
        for i in range(len(self.fixed)):
            Py_INCREF(self.values[i])
            LUCID_PUT(made, (<Slot>self.fixed[i]).offset, self.values[i])
        return made
