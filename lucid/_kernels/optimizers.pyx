"""Optimizer steps: one call updates a whole list of parameters in place.

A `Batch` holds one work item per parameter: raw pointers, coefficients and the update rule for its
dtype (optimizers.h; the rules are in optimizers_rules.h). Building it checks every array of the
list, so a call that is refused has changed nothing. Arrays that the rules cannot take as they are
(float16, strided, byte-swapped, another dtype than their parameter's) are replaced by contiguous
copies and written back after the pass; complex arrays are updated as pairs of reals. Steps and
other per-parameter scalars are 0-d arrays, so that the caller has no loop over parameters either.

The elements of all parameters are one sequence, cut into blocks of fixed length for the threads:
a thousand small tensors parallelise as well as a large one. Updates are elementwise, hence the
bits do not depend on the cuts.

The equations are PyTorch's; `grad_scale` multiplies the gradient inside the pass, which is how
clipping by norm costs no write of its own, and `maximize` flips its sign.
"""

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport pow, sqrt
from numpy cimport ndarray

from lucid._kernels.arrays cimport empty, ready, ready_out, same_shape
from lucid._kernels.threads cimport parallel_for

cnp.import_array()

cdef extern from "optimizers.h" nogil:
    ctypedef void (*lucid_rule)(const lucid_update* u, Py_ssize_t start, Py_ssize_t stop) noexcept

    ctypedef struct lucid_update:
        void* param
        const void* grad
        void* state[3]
        Py_ssize_t start, size
        double scale, weight_decay, keep, lr, momentum_lr, beta1, beta2
        double gain, lookahead, correction, eps, lower, upper
        int variant
        lucid_rule apply

    enum:
        LUCID_SGD, LUCID_ADAM, LUCID_ADAMAX, LUCID_NADAM, LUCID_RADAM, LUCID_RMSPROP
        LUCID_ADAGRAD, LUCID_ADADELTA, LUCID_ASGD, LUCID_RPROP, LUCID_LION, LUCID_RULES

cdef extern from *:
    """
    typedef const lucid_rule (*lucid_rule_table)[2];
    #define lucid_picked_rules() ((lucid_rule_table)LUCID_PICK(lucid_rules))
    """
    ctypedef lucid_rule[2]* lucid_rule_table
    lucid_rule_table lucid_picked_rules()

cdef lucid_rule_table rules = lucid_picked_rules()

cdef enum:
    BLOCK = 1 << 15  # elements in a task
    SMALL = 1000  # elements below which the GIL is kept


cdef inline int real_type(int type_number) noexcept:
    """The real dtype that the arithmetic of a dtype needs, or -1 for one that cannot be updated."""
    if type_number == cnp.NPY_FLOAT or type_number == cnp.NPY_CFLOAT:
        return cnp.NPY_FLOAT
    if type_number == cnp.NPY_DOUBLE or type_number == cnp.NPY_CDOUBLE:
        return cnp.NPY_DOUBLE
    if type_number == cnp.NPY_FLOAT16:
        return cnp.NPY_FLOAT
    return -1


cdef inline bint is_complex(int type_number) noexcept:
    return type_number == cnp.NPY_CFLOAT or type_number == cnp.NPY_CDOUBLE


cdef inline double load(object scalar) noexcept:
    """The value of a checked 0-d float array."""
    cdef void* data = cnp.PyArray_DATA(<ndarray>scalar)
    if cnp.PyArray_TYPE(<ndarray>scalar) == cnp.NPY_FLOAT:
        return (<float*>data)[0]
    return (<double*>data)[0]


cdef inline void store(object scalar, double value) noexcept:
    cdef void* data = cnp.PyArray_DATA(<ndarray>scalar)
    if cnp.PyArray_TYPE(<ndarray>scalar) == cnp.NPY_FLOAT:
        (<float*>data)[0] = <float>value
    else:
        (<double*>data)[0] = value


cdef inline double advance(object step) noexcept:
    """Counts one more step and returns its number, from 1."""
    cdef double t = load(step) + 1
    store(step, t)
    return t


cdef struct Work:
    lucid_update* updates
    Py_ssize_t count


cdef void run_block(void* context, Py_ssize_t index) noexcept nogil:
    """Elements [index BLOCK, (index + 1) BLOCK) of the concatenated parameters."""
    cdef Work* work = <Work*>context
    cdef const lucid_update* u
    cdef Py_ssize_t begin = index * BLOCK, end = begin + BLOCK, low = 0, high = work.count, middle
    while high - low > 1:  # the last parameter that starts at or before `begin`
        middle = (low + high) // 2
        if work.updates[middle].start <= begin:
            low = middle
        else:
            high = middle
    while low < work.count and work.updates[low].start < end:
        u = &work.updates[low]
        u.apply(u, max(begin - u.start, 0), min(end - u.start, u.size))
        low += 1


@cython.final
@cython.freelist(4)
cdef class Batch:
    """The work of one call, see the head of this file."""

    cdef lucid_update* updates
    cdef Py_ssize_t count, elements
    cdef list copies  # (array to write back to or None, contiguous copy used instead)

    def __dealloc__(self):
        PyMem_Free(self.updates)

    cdef inline void run(self) except *:
        cdef Work work = Work(self.updates, self.count)
        cdef Py_ssize_t i, blocks
        if self.elements < SMALL:
            for i in range(self.count):
                self.updates[i].apply(&self.updates[i], 0, self.updates[i].size)
        else:
            blocks = (self.elements + BLOCK - 1) // BLOCK
            with nogil:
                parallel_for(run_block, &work, blocks)
        if self.copies is not None:
            with np.errstate(over="ignore"):  # a float16 that overflows is inf, as everywhere
                for array, copy in self.copies:
                    if array is not None:
                        np.copyto(array, copy, casting="same_kind")


cdef check_array(str name, str role, Py_ssize_t i, object x, object param, bint written):
    """Raises unless `x` can be part of the update of `param`."""
    if not isinstance(x, ndarray):
        raise TypeError(f"{name}: {role}[{i}] must be an ndarray; got {type(x).__name__}")
    cdef int number = cnp.PyArray_TYPE(<ndarray>x)
    if real_type(number) < 0:
        raise TypeError(
            f"{name}: {role}[{i}] must have dtype float16, float32, float64, complex64 or "
            f"complex128; got {x.dtype}"
        )
    if is_complex(number) != is_complex(cnp.PyArray_TYPE(<ndarray>param)):
        raise TypeError(
            f"{name}: {role}[{i}] must be real or complex as params[{i}], which is "
            f"{param.dtype}; got {x.dtype}"
        )
    if not same_shape(<ndarray>x, <ndarray>param):
        raise ValueError(
            f"{name}: {role}[{i}] must have the shape of params[{i}], {np.shape(param)}; "
            f"got {np.shape(x)}"
        )
    if written and not cnp.PyArray_ISWRITEABLE(<ndarray>x):
        raise ValueError(f"{name}: {role}[{i}] is read-only and cannot be updated")


cdef check_scalar(str name, str role, Py_ssize_t i, object x):
    if (
        not isinstance(x, ndarray)
        or cnp.PyArray_NDIM(<ndarray>x) != 0
        or not (ready_out(<ndarray>x, cnp.NPY_DOUBLE) or ready_out(<ndarray>x, cnp.NPY_FLOAT))
    ):
        raise TypeError(
            f"{name}: {role}[{i}] must be a writable 0-d float32 or float64 array; got {x!r}"
        )


cdef check_length(str name, str role, list x, Py_ssize_t count):
    if PyList_GET_SIZE(x) != count:
        raise ValueError(
            f"{name}: {role} must have {count} entries, one for each of params; got {len(x)}"
        )


cdef inline bint fits(object x, int number, ndarray param, bint written) noexcept:
    """Whether a rule can take `x` as it is; if not, `check_array` says why or a copy is made."""
    return (
        isinstance(x, ndarray)
        and (ready_out(<ndarray>x, number) if written else ready(<ndarray>x, number))
        and same_shape(<ndarray>x, param)
    )


cdef void* as_number(Batch batch, ndarray x, int number, bint written) except NULL:
    """Data of the checked array `x` as contiguous `number`: a copy unless it is that already."""
    if ready_out(x, number) if written else ready(x, number):
        return cnp.PyArray_DATA(x)
    cdef ndarray copy = empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), number)
    np.copyto(copy, x)
    if batch.copies is None:
        batch.copies = []
    batch.copies.append((x if written else None, copy))
    return cnp.PyArray_DATA(copy)


cdef bint add_as_copies(
    Batch batch, str name, Py_ssize_t i, object param, object grad, tuple states, tuple roles
) except -1:
    """Parameter `i`, where an array does not fit the rules. Returns whether it is in double."""
    cdef bint double_precision = False
    cdef int number
    cdef lucid_update* u = &batch.updates[i]
    arrays = [("params", param), ("grads", grad)]
    arrays += [(roles[k], states[k][i]) for k in range(len(states)) if states[k] is not None]
    for role, x in arrays:
        check_array(name, role, i, x, param, role != "grads")
        double_precision |= real_type(cnp.PyArray_TYPE(<ndarray>x)) == cnp.NPY_DOUBLE
    if is_complex(cnp.PyArray_TYPE(<ndarray>param)):
        number = cnp.NPY_CDOUBLE if double_precision else cnp.NPY_CFLOAT
    else:
        number = cnp.NPY_DOUBLE if double_precision else cnp.NPY_FLOAT
    u.param = as_number(batch, param, number, True)
    u.grad = as_number(batch, grad, number, False)
    for k in range(len(states)):
        if states[k] is not None:
            u.state[k] = as_number(batch, states[k][i], number, True)
    return double_precision


cdef Batch prepare(
    str name, int rule, list params, list grads, tuple states, tuple roles,
    tuple scalars=(), tuple scalar_roles=(),
):
    """The work of a call, every array checked; of each state list, an entry for each parameter."""
    cdef Py_ssize_t i, k, count = PyList_GET_SIZE(params), elements = 0
    cdef Py_ssize_t state_count = PyTuple_GET_SIZE(states)
    cdef Py_ssize_t scalar_count = PyTuple_GET_SIZE(scalars)
    cdef int number
    cdef bint direct, double_precision
    cdef lucid_update* u
    cdef object param, grad, entry
    cdef Batch batch = Batch.__new__(Batch)

    check_length(name, "grads", grads, count)
    for k in range(state_count):
        if states[k] is not None:
            check_length(name, roles[k], states[k], count)
    for k in range(scalar_count):
        check_length(name, scalar_roles[k], scalars[k], count)
    batch.updates = <lucid_update*>PyMem_Calloc(count, sizeof(lucid_update))
    if batch.updates == NULL:
        raise MemoryError()
    batch.count = count

    for i in range(count):
        u = &batch.updates[i]
        param = <object>PyList_GET_ITEM(params, i)
        grad = <object>PyList_GET_ITEM(grads, i)
        if not isinstance(param, ndarray):
            check_array(name, "params", i, param, param, True)
        number = cnp.PyArray_TYPE(<ndarray>param)
        double_precision = real_type(number) == cnp.NPY_DOUBLE
        direct = (
            number != cnp.NPY_FLOAT16
            and real_type(number) >= 0
            and fits(param, number, <ndarray>param, True)
            and fits(grad, number, <ndarray>param, False)
        )
        u.param = cnp.PyArray_DATA(<ndarray>param)
        if direct:
            u.grad = cnp.PyArray_DATA(<ndarray>grad)
        for k in range(state_count):
            if direct and states[k] is not None:
                entry = <object>PyList_GET_ITEM(<object>PyTuple_GET_ITEM(states, k), i)
                direct = fits(entry, number, <ndarray>param, True)
                if direct:
                    u.state[k] = cnp.PyArray_DATA(<ndarray>entry)
        if not direct:
            double_precision = add_as_copies(batch, name, i, param, grad, states, roles)
        for k in range(scalar_count):
            entry = <object>PyList_GET_ITEM(<object>PyTuple_GET_ITEM(scalars, k), i)
            check_scalar(name, scalar_roles[k], i, entry)
        u.apply = rules[rule][double_precision]
        u.start = elements
        u.size = cnp.PyArray_SIZE(<ndarray>param) << is_complex(number)
        u.keep = 1
        elements += u.size
    batch.elements = elements
    return batch


cdef inline double signed(double grad_scale, bint maximize) noexcept:
    return -grad_scale if maximize else grad_scale


cdef list with_fresh(list buffers, list params):
    """`buffers`, or where entries are None a copy of the list with zeros in their place."""
    for buffer in buffers:
        if buffer is None:
            return [
                np.zeros_like(param, order="C") if buffer is None else buffer
                for param, buffer in zip(params, buffers)
            ]
    return buffers


def sgd(
    list params, list grads, list momentum_buffers, double lr, double momentum=0,
    double dampening=0, double weight_decay=0, bint nesterov=False, bint maximize=False,
    double grad_scale=1,
):
    """SGD; a `None` in `momentum_buffers` is replaced by a buffer that starts as the gradient."""
    cdef Py_ssize_t i, count = PyList_GET_SIZE(params)
    cdef list buffers = momentum_buffers
    cdef lucid_update* u
    if momentum_buffers is not None:
        check_length("sgd", "momentum_buffers", momentum_buffers, count)
        buffers = with_fresh(momentum_buffers, params)
    cdef Batch batch = prepare(
        "sgd", LUCID_SGD, params, grads, (buffers,), ("momentum_buffers",)
    )
    for i in range(count):
        u = &batch.updates[i]
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.lr = lr
        u.beta1 = u.lookahead = momentum
        u.gain = 1 - dampening
        if buffers is not momentum_buffers and momentum_buffers[i] is None:
            u.gain = 1
        u.variant = nesterov
    batch.run()
    if buffers is not momentum_buffers:
        momentum_buffers[:] = buffers


def adam(
    list params, list grads, list exp_avgs, list exp_avg_sqs, list max_exp_avg_sqs, list steps,
    double lr, double beta1=0.9, double beta2=0.999, double eps=1e-8, double weight_decay=0,
    bint decoupled=False, bint maximize=False, double grad_scale=1,
):
    """Adam, or AdamW if `decoupled`; AMSGrad if there is a list `max_exp_avg_sqs`."""
    cdef Py_ssize_t i
    cdef double t, last = -1, bias1 = 1, bias2 = 1
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "adam", LUCID_ADAM, params, grads, (exp_avgs, exp_avg_sqs, max_exp_avg_sqs),
        ("exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"), (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        t = advance(steps[i])
        if t != last:
            bias1, bias2, last = 1 - pow(beta1, t), 1 - pow(beta2, t), t
        u.scale = signed(grad_scale, maximize)
        if decoupled:
            u.keep = 1 - lr * weight_decay
        else:
            u.weight_decay = weight_decay
        u.beta1, u.beta2, u.eps = beta1, beta2, eps
        u.lr = lr / bias1
        u.correction = 1 / sqrt(bias2)
    batch.run()


def adamax(
    list params, list grads, list exp_avgs, list exp_infs, list steps, double lr,
    double beta1=0.9, double beta2=0.999, double eps=1e-8, double weight_decay=0,
    bint maximize=False, double grad_scale=1,
):
    """Adamax: Adam in the infinity norm."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "adamax", LUCID_ADAMAX, params, grads, (exp_avgs, exp_infs), ("exp_avgs", "exp_infs"),
        (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.beta1, u.beta2, u.eps = beta1, beta2, eps
        u.lr = lr / (1 - pow(beta1, advance(steps[i])))
    batch.run()


def nadam(
    list params, list grads, list exp_avgs, list exp_avg_sqs, list mu_products, list steps,
    double lr, double beta1=0.9, double beta2=0.999, double eps=1e-8, double weight_decay=0,
    double momentum_decay=4e-3, bint decoupled=False, bint maximize=False, double grad_scale=1,
):
    """NAdam: Adam with Nesterov momentum."""
    cdef Py_ssize_t i
    cdef double t, mu, mu_next, product
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "nadam", LUCID_NADAM, params, grads, (exp_avgs, exp_avg_sqs), ("exp_avgs", "exp_avg_sqs"),
        (steps, mu_products), ("steps", "mu_products"),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        t = advance(steps[i])
        mu = beta1 * (1 - 0.5 * pow(0.96, t * momentum_decay))
        mu_next = beta1 * (1 - 0.5 * pow(0.96, (t + 1) * momentum_decay))
        product = load(mu_products[i]) * mu
        store(mu_products[i], product)
        u.scale = signed(grad_scale, maximize)
        if decoupled:
            u.keep = 1 - lr * weight_decay
        else:
            u.weight_decay = weight_decay
        u.beta1, u.beta2, u.eps = beta1, beta2, eps
        u.lr = lr * (1 - mu) / (1 - product)
        u.momentum_lr = lr * mu_next / (1 - product * mu_next)
        u.correction = 1 / sqrt(1 - pow(beta2, t))
    batch.run()


def radam(
    list params, list grads, list exp_avgs, list exp_avg_sqs, list steps, double lr,
    double beta1=0.9, double beta2=0.999, double eps=1e-8, double weight_decay=0,
    bint decoupled=False, bint maximize=False, double grad_scale=1,
):
    """RAdam: Adam with a rectified variance."""
    cdef Py_ssize_t i
    cdef double t, bias2, length, longest = 2 / (1 - beta2) - 1  # of the average, in steps
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "radam", LUCID_RADAM, params, grads, (exp_avgs, exp_avg_sqs), ("exp_avgs", "exp_avg_sqs"),
        (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        t = advance(steps[i])
        bias2 = 1 - pow(beta2, t)
        length = longest - 2 * t * pow(beta2, t) / bias2
        u.scale = signed(grad_scale, maximize)
        if decoupled:
            u.keep = 1 - lr * weight_decay
        else:
            u.weight_decay = weight_decay
        u.beta1, u.beta2, u.eps = beta1, beta2, eps
        u.lr = lr / (1 - pow(beta1, t))
        u.variant = length > 5
        if u.variant:
            u.lr *= sqrt(
                bias2 * (length - 4) * (length - 2) * longest
                / ((longest - 4) * (longest - 2) * length)
            )
    batch.run()


def rmsprop(
    list params, list grads, list square_avgs, list grad_avgs, list momentum_buffers, list steps,
    double lr, double alpha=0.99, double eps=1e-8, double weight_decay=0, double momentum=0,
    bint maximize=False, double grad_scale=1,
):
    """RMSprop; centered if there is a list `grad_avgs`, with momentum if `momentum_buffers`."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "rmsprop", LUCID_RMSPROP, params, grads, (square_avgs, grad_avgs, momentum_buffers),
        ("square_avgs", "grad_avgs", "momentum_buffers"), (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        advance(steps[i])
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.beta1, u.beta2, u.eps, u.lr = momentum, alpha, eps, lr
    batch.run()


def adagrad(
    list params, list grads, list sums, list steps, double lr, double lr_decay=0,
    double eps=1e-10, double weight_decay=0, bint maximize=False, double grad_scale=1,
):
    """Adagrad."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "adagrad", LUCID_ADAGRAD, params, grads, (sums,), ("sums",), (steps,), ("steps",)
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.eps = eps
        u.lr = lr / (1 + (advance(steps[i]) - 1) * lr_decay)
    batch.run()


def adadelta(
    list params, list grads, list square_avgs, list acc_deltas, list steps, double lr=1,
    double rho=0.9, double eps=1e-6, double weight_decay=0, bint maximize=False,
    double grad_scale=1,
):
    """Adadelta."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "adadelta", LUCID_ADADELTA, params, grads, (square_avgs, acc_deltas),
        ("square_avgs", "acc_deltas"), (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        advance(steps[i])
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.beta2, u.eps, u.lr = rho, eps, lr
    batch.run()


def asgd(
    list params, list grads, list axs, list etas, list mus, list steps, double lr,
    double lambd=1e-4, double alpha=0.75, double t0=1e6, double weight_decay=0,
    bint maximize=False, double grad_scale=1,
):
    """Averaged SGD; the averages are `axs`."""
    cdef Py_ssize_t i
    cdef double t
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "asgd", LUCID_ASGD, params, grads, (axs,), ("axs",),
        (steps, etas, mus), ("steps", "etas", "mus"),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        u.scale = signed(grad_scale, maximize)
        u.weight_decay = weight_decay
        u.lr = load(etas[i])
        u.keep = 1 - lambd * u.lr
        u.gain = load(mus[i])
        t = advance(steps[i])
        store(etas[i], lr / pow(1 + lambd * lr * t, alpha))
        store(mus[i], 1 / max(1.0, t - t0))
    batch.run()


def rprop(
    list params, list grads, list prevs, list step_sizes, list steps, double etaminus=0.5,
    double etaplus=1.2, double step_size_min=1e-6, double step_size_max=50, bint maximize=False,
    double grad_scale=1,
):
    """Resilient backpropagation."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare(
        "rprop", LUCID_RPROP, params, grads, (prevs, step_sizes), ("prevs", "step_sizes"),
        (steps,), ("steps",),
    )
    for i in range(batch.count):
        u = &batch.updates[i]
        advance(steps[i])
        u.scale = signed(grad_scale, maximize)
        u.beta1, u.beta2 = etaminus, etaplus
        u.lower, u.upper = step_size_min, step_size_max
    batch.run()


def lion(
    list params, list grads, list exp_avgs, double lr, double beta1=0.9, double beta2=0.99,
    double weight_decay=0, bint maximize=False, double grad_scale=1,
):
    """Lion: the sign of an interpolated momentum."""
    cdef Py_ssize_t i
    cdef lucid_update* u
    cdef Batch batch = prepare("lion", LUCID_LION, params, grads, (exp_avgs,), ("exp_avgs",))
    for i in range(batch.count):
        u = &batch.updates[i]
        u.scale = signed(grad_scale, maximize)
        u.keep = 1 - lr * weight_decay
        u.beta1, u.beta2, u.lr = beta1, beta2, lr
    batch.run()
