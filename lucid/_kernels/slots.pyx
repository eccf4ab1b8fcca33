"""Slots (`__slots__`) of many objects read at once, and objects made with all their slots at once.

A function that takes a thousand parameters spends more time on `p._grad._data` a thousand times
than on the arithmetic, and an operation on a few numbers spends most of it on filling in the
tensor and the node that it makes. A slot lies at a fixed offset in its object, which is how the
interpreter itself finds it once it has seen the class; here that is a loop.

What is read is borrowed from its object until it stands in a list: nothing that could run Python
code, such as making a list, may come in between.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

import types

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


cdef class Slot:
    """One slot of a class: `Slot(Tensor._data)`."""

    cdef object owner
    cdef Py_ssize_t offset

    def __cinit__(self, descriptor):
        if (
            not isinstance(descriptor, types.MemberDescriptorType)
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
            before = <object>place[0]
            value = before + 1
            Py_INCREF(value)
            place[0] = <PyObject*>value
            Py_DECREF(before)

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
        cdef Py_ssize_t n = len(objects), i, j, size = 2 * FEW
        cdef list found = []
        cdef PyObject* value
        cdef PyObject** table = NULL  # a hash table of the values found
        if n > FEW:
            while size < 2 * n:
                size *= 2
            table = <PyObject**>calloc(size, sizeof(PyObject*))
            if table is NULL:
                raise MemoryError(f"Slot: no memory for a table of {n} objects")
        try:
            for i in range(n):
                value = self.place(LUCID_ITEM(objects, i), i)[0]
                if value is NULL or value is <PyObject*>None:
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


cdef class Maker:
    """Makes objects of a class with slots in one call: `Maker(Point, "x", y=None)(x)`."""

    cdef type cls
    cdef list given   # slots that a call sets
    cdef list fixed   # slots that are always the same, and
    cdef list values  # what they are

    def __cinit__(self, type cls not None, *given, **fixed):
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
