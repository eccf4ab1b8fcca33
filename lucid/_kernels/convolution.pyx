# distutils: extra_compile_args = -ffp-contract=fast
"""Convolution in 1 to 3 dimensions and its gradients, for float32 and float64 arrays.

convolution.h describes how: the image is copied into zero-padded planes in which every tap is a
constant offset, and register tiles run over those. Kernels of size 1 with stride 1 are plain
products and go to the GEMM. Arrays are (images, channels, ...); a weight is (out, in per group,
...), that of the transposed convolution (in, out per group, ...). The caller checks sizes.
"""

cimport numpy as cnp
from libc.stdlib cimport free
from libc.string cimport memset
from numpy cimport NPY_FLOAT, ndarray

from lucid._kernels.arrays cimport empty, usable
from lucid._kernels.gemm cimport (
    GEMM_IDENTITY,
    gemm_engine,
    gemm_epilogue,
    gemm_f32,
    gemm_f64,
    gemm_operand,
    strided,
)
from lucid._kernels.memory cimport pooled
from lucid._kernels.threads cimport num_threads, parallel_for, parallel_for_lasting, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "convolution_body.h"
    #include "each_level.h"
    static conv_level conv_pick_f32(void) { return LUCID_PICK(level_f32); }
    static conv_level conv_pick_f64(void) { return LUCID_PICK(level_f64); }
    """
    enum: MANY_TARGETS
    ctypedef struct atomic_flag:
        pass
    ctypedef struct conv_extent:
        Py_ssize_t source, target, kernel, stride, padding, dilation
    ctypedef struct conv_axis:
        Py_ssize_t count, block, blocks
    ctypedef struct conv_pass:
        Py_ssize_t images, groups, sources, targets
        conv_axis axis[3]
        Py_ssize_t stream, positions, pitch, kernel, taps, height
        Py_ssize_t* memory
        const void* source
        const void* bias
        void* target
        void* weights
        const void* gradient
        void* sums
        Py_ssize_t chunks, parts, per_part, together, spread, padded
        bint in_place
        char* workspace
        Py_ssize_t workspaces, workspace_bytes
        atomic_flag* claimed
    ctypedef struct conv_level:
        Py_ssize_t rows, lanes
        void (*pack)(
            const conv_pass* c, const void* weight, Py_ssize_t target_stride,
            Py_ssize_t source_stride, const conv_extent* extents) noexcept nogil
        task_t product
        task_t weight
        task_t pixels
        task_t channel
        void (*combine)(const conv_pass* c, void* out, Py_ssize_t count) noexcept nogil
        void (*combine_pixels)(const conv_pass* c, void* out) noexcept nogil
    bint conv_reaches_all(const conv_extent* extents) nogil
    int conv_pass_init(
        conv_pass* c, const conv_extent* extents, const Py_ssize_t* residues, Py_ssize_t wanted,
        Py_ssize_t walk, Py_ssize_t size, Py_ssize_t lanes) nogil
    int conv_pixels_init(
        conv_pass* c, const conv_extent* extents, Py_ssize_t wanted, Py_ssize_t walk,
        Py_ssize_t size, Py_ssize_t chunks, Py_ssize_t lanes) nogil
    Py_ssize_t conv_blocks(const conv_pass* c) nogil
    Py_ssize_t conv_up(Py_ssize_t x, Py_ssize_t step) nogil
    conv_level conv_pick_f32()
    conv_level conv_pick_f64()

cdef conv_level level_f32 = conv_pick_f32()
cdef conv_level level_f64 = conv_pick_f64()

cdef enum:
    # A block of positions; and the multiply-adds (some 10 us) worth a smaller one of its own where
    # there are fewer images than threads.
    POSITIONS = 1200
    WORK = 1 << 20
    # Positions that the weight's gradient walks over before it adds up its lanes (which takes as
    # long as some 100): in float32 those of a tile fill two thirds of the L1 cache.
    WALK = 1024
    # Positions of several images that are walked over together where pixels are vectors of
    # channels: no lanes are added up. (One image may have up to 2 WALK in one sum.)
    PIXELS = 256
    # Bytes of its stream: less than the L2 cache.
    STREAM = 224 << 10
    # Partial sums of the weight's gradient, and the most bytes they may take up.
    PARTS = 8
    PARTS_BYTES = 8 << 20


cdef struct geometry:
    conv_extent extent[3]
    Py_ssize_t images, groups, sources, targets  # channels of all groups
    int ndim


cdef inline const conv_level* level_of(ndarray x) noexcept:
    return &level_f32 if cnp.PyArray_TYPE(x) == NPY_FLOAT else &level_f64


cdef int describe(
    geometry* f, ndarray source, const cnp.npy_intp* target, const cnp.npy_intp* kernel,
    tuple stride, tuple padding, tuple dilation
) except -1:
    """The three axes from arrays (images, channels, ...), a target shape and a kernel shape."""
    cdef int ndim = cnp.PyArray_NDIM(source) - 2, d, i
    f.ndim = ndim
    f.images = cnp.PyArray_DIM(source, 0)
    for d in range(3):
        i = d - (3 - ndim)
        f.extent[d] = conv_extent(1, 1, 1, 1, 0, 1)
        if i >= 0:
            f.extent[d] = conv_extent(
                cnp.PyArray_DIM(source, i + 2), target[i + 2], kernel[i + 2],
                stride[i], padding[i], dilation[i])
    return 0


cdef inline bint is_product(const geometry* f) noexcept:
    """A kernel of one place that reads every source element once."""
    cdef int d
    for d in range(3):
        if f.extent[d].kernel != 1 or f.extent[d].stride != 1 or f.extent[d].padding != 0:
            return False
        if f.extent[d].source != f.extent[d].target:  # a transposed one's output_padding
            return False
    return True


cdef int fill(ndarray out, ndarray bias) except -1:
    """What a sum without terms is: the bias of its channel, or 0."""
    if bias is None:
        cnp.PyArray_FILLWBYTE(out, 0)
    else:
        (<object>out).T[...] = (<object>bias)[:, None]
    return 0


cdef struct products:
    # c[image, group] = a[group] @ b[image, group] + bias[group]
    const gemm_engine* engine
    gemm_operand a, b
    const char* bias
    char* c
    Py_ssize_t rows, columns, depth, itemsize, groups


cdef void products_task(void* context, Py_ssize_t index) noexcept nogil:
    cdef const products* p = <const products*>context
    cdef Py_ssize_t group = index % p.groups
    cdef gemm_operand a = p.a, b = p.b
    cdef gemm_epilogue epilogue = gemm_epilogue(1, 0, GEMM_IDENTITY, NULL, NULL)
    a.data = <const char*>a.data + group * p.rows * p.depth * p.itemsize
    b.data = <const char*>b.data + index * p.depth * p.columns * p.itemsize
    if p.bias is not NULL:
        epilogue.row_bias = p.bias + group * p.rows * p.itemsize
    p.engine.product(
        p.rows, p.columns, p.depth, &a, &b,
        p.c + index * p.rows * p.columns * p.itemsize, p.columns, &epilogue)


cdef int point_products(
    const geometry* f, ndarray x, ndarray weight, ndarray bias, ndarray out, bint transposed
) except -1:
    cdef products p
    cdef Py_ssize_t size = f.extent[0].source * f.extent[1].source * f.extent[2].source
    cdef Py_ssize_t count = f.images * f.groups
    p.engine = &gemm_f32 if cnp.PyArray_TYPE(x) == NPY_FLOAT else &gemm_f64
    p.itemsize = cnp.PyArray_ITEMSIZE(x)
    p.groups = f.groups
    p.columns = size
    p.depth = (f.targets if transposed else f.sources) // f.groups
    p.rows = (f.sources if transposed else f.targets) // f.groups
    if transposed:
        p.a = strided(cnp.PyArray_DATA(weight), 1, p.rows)
    else:
        p.a = strided(cnp.PyArray_DATA(weight), p.depth, 1)
    p.b = strided(cnp.PyArray_DATA(x), 1, size)
    p.bias = NULL if bias is None else cnp.PyArray_BYTES(bias)
    p.c = cnp.PyArray_BYTES(out)
    with nogil:
        if count == 1:
            products_task(&p, 0)
        else:
            parallel_for_lasting(
                products_task, &p, count,
                <double>count * p.rows * p.columns * p.depth * p.engine.nanoseconds)
    return 0


cdef ndarray scratch(Py_ssize_t size):
    cdef cnp.npy_intp bytes = size + 64
    return pooled(1, &bytes, cnp.NPY_UINT8, False)


cdef inline char* aligned(ndarray x) noexcept:
    return <char*>((<size_t>cnp.PyArray_DATA(x) + 63) & ~<size_t>63)


cdef inline ndarray workspace(conv_pass* c, Py_ssize_t bytes, Py_ssize_t tasks):
    """A workspace of so many bytes for each thread that can be inside a task."""
    cdef ndarray memory
    c.workspaces = max(1, min(num_threads(), tasks))
    c.workspace_bytes = conv_up(bytes, 64) + 64  # + 64: not a multiple of 4 KB apart
    memory = scratch(c.workspaces * (c.workspace_bytes + <Py_ssize_t>sizeof(atomic_flag)))
    c.workspace = aligned(memory)
    c.claimed = <atomic_flag*>(c.workspace + c.workspaces * c.workspace_bytes)
    memset(c.claimed, 0, c.workspaces * sizeof(atomic_flag))
    return memory


cdef Py_ssize_t block_size(const geometry* f, ndarray weight) noexcept:
    """Positions in a block. No result depends on it."""
    cdef Py_ssize_t images = f.images * f.groups
    cdef Py_ssize_t positions = f.extent[1].target * f.extent[2].target
    cdef Py_ssize_t work = f.images * f.extent[0].target * positions * cnp.PyArray_SIZE(weight)
    cdef Py_ssize_t tasks = min(num_threads(), work // WORK)
    return min(POSITIONS, positions * images // tasks + 1) if images < tasks else POSITIONS


cdef int run_pass(
    const geometry* f, ndarray source, ndarray weight, ndarray bias, ndarray target,
    const Py_ssize_t* residues
) except -1:
    """A gather, or one residue of a spread, into `target`."""
    cdef const conv_level* level = level_of(source)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(source), tiles, tasks
    cdef conv_pass c
    cdef ndarray weights, _memory
    c.images, c.groups = f.images, f.groups
    c.sources = (f.sources if residues is NULL else f.targets) // f.groups
    c.targets = (f.targets if residues is NULL else f.sources) // f.groups
    if conv_pass_init(
            &c, f.extent, residues, block_size(f, weight), 0, 0, level.lanes) < 0:
        raise MemoryError
    try:
        tiles = (c.targets + level.rows - 1) // level.rows
        c.height = (c.targets + tiles - 1) // tiles
        tasks = c.images * c.groups * conv_blocks(&c)
        if tasks == 0 or c.taps == 0:
            return 0
        weights = scratch(c.groups * c.targets * c.taps * itemsize)
        c.weights = cnp.PyArray_DATA(weights)
        c.source = cnp.PyArray_DATA(source)
        c.target = cnp.PyArray_DATA(target)
        c.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
        _memory = workspace(
            &c, (c.stream + c.height * conv_up(c.positions + level.lanes, level.lanes)) * itemsize,
            tasks)
        with nogil:
            if residues is NULL:
                level.pack(
                    &c, cnp.PyArray_DATA(weight), c.sources * c.kernel, c.kernel, f.extent)
            else:
                level.pack(
                    &c, cnp.PyArray_DATA(weight), c.kernel, c.targets * c.kernel, f.extent)
            parallel_for(level.product, &c, tasks)
    finally:
        free(c.memory)
    return 0


def convolution(
    ndarray x not None, ndarray weight not None, ndarray bias, tuple size, tuple stride,
    tuple padding, tuple dilation, Py_ssize_t groups, /
):
    cdef int type_number = cnp.PyArray_TYPE(x), d
    cdef cnp.npy_intp shape[5]
    cdef geometry f
    cdef ndarray out
    x = usable(x, type_number)
    weight = usable(weight, type_number)
    if bias is not None:
        bias = usable(bias, type_number)
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(weight, 0)
    for d in range(len(size)):
        shape[d + 2] = size[d]
    describe(&f, x, shape, cnp.PyArray_DIMS(weight), stride, padding, dilation)
    f.groups = groups
    f.sources, f.targets = cnp.PyArray_DIM(x, 1), shape[1]
    out = empty(f.ndim + 2, shape, type_number)
    if cnp.PyArray_SIZE(out) == 0:
        pass
    elif cnp.PyArray_SIZE(weight) == 0:
        fill(out, bias)
    elif is_product(&f):
        point_products(&f, x, weight, bias, out, False)
    else:
        run_pass(&f, x, weight, bias, out, NULL)
    return out


def convolution_transpose(
    ndarray x not None, ndarray weight not None, ndarray bias, tuple size, tuple stride,
    tuple padding, tuple dilation, Py_ssize_t groups, /
):
    cdef int type_number = cnp.PyArray_TYPE(x), d
    cdef cnp.npy_intp shape[5]
    cdef Py_ssize_t residues[3]
    cdef geometry f
    cdef ndarray out
    x = usable(x, type_number)
    weight = usable(weight, type_number)
    if bias is not None:
        bias = usable(bias, type_number)
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), groups * cnp.PyArray_DIM(weight, 1)
    for d in range(len(size)):
        shape[d + 2] = size[d]
    out = empty(len(size) + 2, shape, type_number)
    # The convolution of which this is the transpose: from out to x.
    describe(&f, out, cnp.PyArray_DIMS(x), cnp.PyArray_DIMS(weight), stride, padding, dilation)
    f.groups = groups
    f.sources, f.targets = shape[1], cnp.PyArray_DIM(x, 1)
    if cnp.PyArray_SIZE(out) == 0:
        pass
    elif cnp.PyArray_SIZE(weight) == 0:
        fill(out, bias)
    elif is_product(&f):
        point_products(&f, x, weight, bias, out, True)
    else:
        if not conv_reaches_all(f.extent):
            fill(out, bias)
        for residues[0] in range(f.extent[0].stride):
            for residues[1] in range(f.extent[1].stride):
                for residues[2] in range(f.extent[2].stride):
                    run_pass(&f, x, weight, bias, out, residues)
    return out


cdef struct weight_products:
    # sums[part, group] = the sum over images of g[image, group] @ x[image, group]^T
    const gemm_engine* engine
    const char* g
    const char* x
    char* sums
    Py_ssize_t rows, columns, depth, itemsize, groups, images, per_part


cdef void weight_products_task(void* context, Py_ssize_t index) noexcept nogil:
    cdef const weight_products* p = <const weight_products*>context
    cdef Py_ssize_t group = index % p.groups, part = index // p.groups, image, at
    cdef Py_ssize_t first = part * p.per_part
    cdef gemm_operand a, b
    cdef gemm_epilogue epilogue = gemm_epilogue(1, 0, GEMM_IDENTITY, NULL, NULL)
    for image in range(first, min(p.images, first + p.per_part)):
        at = image * p.groups + group
        a = strided(p.g + at * p.rows * p.depth * p.itemsize, p.depth, 1)
        b = strided(p.x + at * p.columns * p.depth * p.itemsize, p.depth, 1)
        epilogue.accumulate = image > first
        p.engine.product(
            p.rows, p.columns, p.depth, &a, &b,
            p.sums + index * p.rows * p.columns * p.itemsize, p.columns, &epilogue)


cdef void divide(conv_pass* c, Py_ssize_t bytes, Py_ssize_t tasks, Py_ssize_t together) noexcept:
    """Parts of whole walks, enough to make PARTS tasks of `tasks`; a part's sums take `bytes`."""
    c.parts = max(1, min(PARTS // tasks, PARTS_BYTES // bytes))
    c.per_part = conv_up((c.images + c.parts - 1) // c.parts, together)
    c.parts = (c.images + c.per_part - 1) // c.per_part


cdef ndarray partial_sums(conv_pass* c, ndarray out, Py_ssize_t tasks, Py_ssize_t together):
    """Memory for the sums of parts: `out` where there is one alone."""
    cdef ndarray sums = out
    divide(c, cnp.PyArray_NBYTES(out), tasks, together)
    if c.parts > 1:
        sums = scratch(c.parts * cnp.PyArray_NBYTES(out))
    c.sums = cnp.PyArray_DATA(sums)
    return sums


cdef ndarray pixel_sums(
    const geometry* f, conv_pass* c, const conv_level* level, ndarray x, ndarray g, ndarray out
):
    """The gradient of the weight, with vectors of source channels."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x), bytes, tasks
    cdef Py_ssize_t chunks = PARTS // (c.groups * c.images)
    cdef ndarray _sums, _memory
    if conv_pixels_init(
            c, f.extent, WALK, PIXELS, STREAM // itemsize, chunks, level.lanes) < 0:
        raise MemoryError
    try:
        bytes = c.groups * c.targets * c.kernel * c.padded * itemsize
        divide(c, bytes, c.groups * c.chunks, c.together)
        _sums = scratch(c.parts * bytes)
        c.sums = aligned(_sums)
        c.source = cnp.PyArray_DATA(x)
        c.gradient = cnp.PyArray_DATA(g)
        tasks = c.parts * c.groups * c.chunks
        _memory = workspace(c, c.stream * itemsize, tasks)
        with nogil:
            parallel_for(level.pixels, c, tasks)
            level.combine_pixels(c, cnp.PyArray_DATA(out))
    finally:
        free(c.memory)
    return out


def convolution_weight(
    ndarray x not None, ndarray g not None, tuple size, tuple stride, tuple padding,
    tuple dilation, Py_ssize_t groups, /
):
    cdef int type_number = cnp.PyArray_TYPE(x), d
    cdef const conv_level* level = level_of(x)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x), count, walk, copies, tasks
    cdef cnp.npy_intp shape[5]
    cdef geometry f
    cdef conv_pass c
    cdef weight_products p
    cdef ndarray out, sums, _memory
    x = usable(x, type_number)
    g = usable(g, type_number)
    shape[0], shape[1] = cnp.PyArray_DIM(g, 1), cnp.PyArray_DIM(x, 1) // groups
    for d in range(len(size)):
        shape[d + 2] = size[d]
    describe(&f, x, cnp.PyArray_DIMS(g), shape, stride, padding, dilation)
    f.groups = groups
    f.sources, f.targets = cnp.PyArray_DIM(x, 1), shape[0]
    out = empty(f.ndim + 2, shape, type_number)
    count = cnp.PyArray_SIZE(out)
    if count == 0:
        return out
    if cnp.PyArray_SIZE(g) == 0 or cnp.PyArray_SIZE(x) == 0:
        cnp.PyArray_FILLWBYTE(out, 0)
        return out

    c.images, c.groups = f.images, groups
    if is_product(&f):
        p.engine = &gemm_f32 if type_number == NPY_FLOAT else &gemm_f64
        p.rows, p.columns = f.targets // groups, f.sources // groups
        p.depth = f.extent[0].source * f.extent[1].source * f.extent[2].source
        sums = partial_sums(&c, out, groups, max(WALK // p.depth, 1))
        p.g, p.x, p.sums = cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(x), <char*>c.sums
        p.itemsize, p.groups, p.images, p.per_part = itemsize, groups, f.images, c.per_part
        with nogil:
            if c.parts * groups == 1:
                weight_products_task(&p, 0)
            else:
                parallel_for_lasting(
                    weight_products_task, &p, c.parts * groups,
                    <double>f.images * groups * p.rows * p.columns * p.depth
                    * p.engine.nanoseconds)
            if c.parts > 1:
                level.combine(&c, cnp.PyArray_DATA(out), count)
        return out

    c.sources, c.targets = f.sources // groups, f.targets // groups
    if (c.targets >= MANY_TARGETS and conv_reaches_all(f.extent)
            and 7 * conv_up(c.sources, level.lanes) <= 8 * c.sources):
        return pixel_sums(&f, &c, level, x, g, out)
    walk = WALK * sizeof(float) // itemsize
    if conv_pass_init(&c, f.extent, NULL, walk, walk, STREAM // itemsize, level.lanes) < 0:
        raise MemoryError
    try:
        sums = partial_sums(&c, out, groups * c.chunks, c.together)
        c.source = cnp.PyArray_DATA(x)
        c.gradient = cnp.PyArray_DATA(g)
        c.in_place = (
            c.pitch == c.axis[2].count and c.axis[1].blocks == 1 and c.axis[2].blocks == 1
            and c.positions % level.lanes == 0)
        if c.in_place:
            c.spread = c.axis[0].count * c.axis[1].count * c.axis[2].count
        else:
            c.spread = c.together * conv_up(c.positions, level.lanes)
            c.spread += level.lanes  # not a multiple of 4 KB
        tasks = c.parts * groups * c.chunks
        copies = 0 if c.in_place else c.targets * c.spread
        _memory = workspace(&c, (c.stream + copies) * itemsize, tasks)
        with nogil:
            parallel_for(level.weight, &c, tasks)
            if c.parts > 1:
                level.combine(&c, cnp.PyArray_DATA(out), count)
    finally:
        free(c.memory)
    return out


def channel_sums(ndarray x not None, /):
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef const conv_level* level = level_of(x)
    cdef cnp.npy_intp channels = cnp.PyArray_DIM(x, 1)
    cdef ndarray out = empty(1, &channels, type_number)
    cdef conv_pass c
    x = usable(x, type_number)
    c.images, c.targets = cnp.PyArray_DIM(x, 0), channels
    c.positions = cnp.PyArray_SIZE(x) // max(c.images * channels, 1)
    c.gradient, c.target = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
    with nogil:
        parallel_for(level.channel, &c, channels)
    return out
