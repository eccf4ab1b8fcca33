"""The kernels that copy between arrays of any strides, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from lucid._kernels import strided, threads

DTYPES = ("?", "i1", "i2", "f2", "f4", "i8", "f8", "c8", "c16", "g", "G")


@pytest.fixture(autouse=True, params=[1, 2])
def _threads(request):
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield
    threads.set_num_threads(before)


def numbers(shape, dtype):
    """Elements of which neighbours differ along every axis, and that float16 can hold."""
    return (np.arange(np.prod(shape, dtype=int)) % 2039).reshape(shape).astype(dtype)


class Layout:
    """A way to see a block of memory: its axes stepped over, cut, reversed and permuted."""

    def __init__(self, lengths, steps, order):
        self.lengths, self.steps, self.order = lengths, steps, order
        self.room = tuple([n * abs(step) + 1 for n, step in zip(lengths, steps, strict=True)])

    def __call__(self, memory):
        part = memory[(*[slice(None, None, step) for step in self.steps], ...)]
        return part[(*[slice(n) for n in self.lengths], ...)].transpose(self.order)

    def __repr__(self):
        return f"Layout({self.lengths}, {self.steps}, {self.order})"


@st.composite
def layouts(draw):
    lengths = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 4, 5, 9, 17, 70]), max_size=4))
    while np.prod(lengths) > 1 << 15:
        lengths.pop()
    steps = [draw(st.sampled_from([-2, -1, 1, 1, 1, 2, 3])) for _ in lengths]
    return Layout(lengths, steps, draw(st.permutations(range(len(lengths)))))


dtypes = st.sampled_from(DTYPES)


def check_copy(x):
    before = x.copy()
    out = strided.copy(x)
    assert out.flags.c_contiguous
    assert out.flags.owndata
    assert out.flags.writeable
    assert out.dtype == x.dtype
    np.testing.assert_array_equal(out, before)
    np.testing.assert_array_equal(x, before)
    assert not np.may_share_memory(out, x) or not x.size


@given(layouts(), dtypes, st.booleans(), st.data())
def test_copy(layout, dtype, read_only, data):
    x = layout(numbers(layout.room, dtype))
    if x.size and x.ndim and data.draw(st.booleans()):
        axis = data.draw(st.integers(0, x.ndim - 1))
        x = np.broadcast_to(x[(slice(None),) * axis + (slice(1),)], x.shape)
    elif read_only:
        x.flags.writeable = False
    check_copy(x)


SIZES = [1, 3, 4, 5, 8, 31, 63, 64, 65, 127, 130, 600]


@pytest.mark.parametrize("dtype", ["i1", "f2", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("rows", SIZES)
def test_transposes(dtype, rows):
    for columns in SIZES:
        check_copy(numbers((rows, columns), dtype).T)


@pytest.mark.parametrize("dtype", ["i1", "f4", "f8", "c16"])
@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_permutations_in_several_tasks(dtype, order):
    check_copy(numbers((5, 67, 6, 37), dtype).transpose(order))
    check_copy(numbers((5, 67, 6, 74), dtype)[..., ::-2].transpose(order))


@pytest.mark.parametrize("dtype", ["i1", "f4", "f8"])
@pytest.mark.parametrize("step", [1, 2, 3, -1, -2])
def test_one_axis_in_several_tasks(dtype, step):
    check_copy(numbers(600_001, dtype)[::step])
    check_copy(np.broadcast_to(numbers((700, 1), dtype), (700, 701)))
    check_copy(np.broadcast_to(numbers((1, 701), dtype), (700, 701)))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_misaligned(dtype):
    memory = np.zeros(1 + 20 * 30 * np.dtype(dtype).itemsize, np.uint8)
    x = memory[1:].view(dtype).reshape(20, 30)
    x[...] = numbers((20, 30), dtype)
    check_copy(x)
    check_copy(x.T)
    out = x.T
    strided.write(out, numbers((30, 20), dtype) + 1)
    np.testing.assert_array_equal(out, numbers((30, 20), dtype) + 1)


def test_what_is_no_number():
    check_copy(numbers((4, 5), ">f4").T)
    check_copy(np.array([[1, "a"], [None, ()]], object).T)
    check_copy(np.array([["a", "bcd"], ["e", ""]]).T)
    check_copy(np.array([("a", 1)] * 4, "U3, i4")[::2])
    check_copy(numbers((4, 5), "i8").astype("M8[s]").T)


def test_most_axes():
    check_copy(numbers((2,) * 12, "f4").reshape((1,) * 52 + (2,) * 12).T)


# -------------------------------------------------------------------- write


@given(layouts(), st.sampled_from([-2, -1, 1, 2]), dtypes)
def test_write(layout, step, dtype):
    memory, hit = np.zeros(layout.room, dtype), np.zeros(layout.room, bool)
    out = layout(memory)
    layout(hit)[...] = True
    source = Layout(out.shape, [step] * out.ndim, range(out.ndim))
    x = source(numbers(source.room, dtype))
    strided.write(out, x)
    np.testing.assert_array_equal(out, x)
    assert not memory[~hit].any()


@pytest.mark.parametrize("dtype", ["i1", "f4", "f8", "c16"])
def test_write_in_several_tasks(dtype):
    x = numbers((300, 401), dtype)
    for out in (
        np.zeros((401, 300), dtype).T,
        np.zeros((300, 802), dtype)[:, ::-2],
        np.zeros((600, 401), dtype)[::2],
    ):
        strided.write(out, x)
        np.testing.assert_array_equal(out, x)


def test_write_what_the_kernel_refuses():
    out = np.zeros((3, 4), np.float32)
    strided.write(out, 2)
    assert (out == 2).all()
    strided.write(out, numbers(4, "i2"))
    np.testing.assert_array_equal(out, [[0, 1, 2, 3]] * 3)
    strided.write(out, numbers((1, 3, 4), "i2"))
    np.testing.assert_array_equal(out, numbers((3, 4), "f4"))
    with pytest.raises(ValueError, match="broadcast"):
        strided.write(out, np.ones(3, np.float32))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        strided.write(out, np.zeros((3, 4), np.float32))
    assert out.any()


@pytest.mark.parametrize("source", [np.s_[1:], np.s_[:-1], np.s_[::-1]])
def test_write_to_shared_memory(source):
    memory = numbers((300, 300), "f4")
    x = memory[source]
    out = memory[: len(x)]
    expected = x.copy()
    strided.write(out, x)
    np.testing.assert_array_equal(out, expected)
    square = numbers((300, 300), "f4")
    strided.write(square, square.T)
    np.testing.assert_array_equal(square, numbers((300, 300), "f4").T)


def test_write_to_elements_that_overlap():
    """The last one wins, as in NumPy, for any number of threads."""
    base = np.zeros(30_000, np.float32)
    strided.write(as_strided(base, (3, 20_000), (4, 4)), numbers((3, 20_000), "f4"))
    expected = np.zeros(30_000, np.float32)
    as_strided(expected, (3, 20_000), (4, 4))[...] = numbers((3, 20_000), "f4")
    np.testing.assert_array_equal(base, expected)
    out = as_strided(base, (5, 4), (0, 4))
    strided.write(out, numbers((5, 4), "f4"))
    np.testing.assert_array_equal(base[:4], [16, 17, 18, 19])


# -------------------------------------------------------------------- several arrays in one


@pytest.mark.parametrize("dtype", ["?", "f2", "f4", "f8", "c16", "G", ">f4", "O", "U2"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("scale", [1, 40])
def test_concatenate_and_stack(dtype, axis, scale):
    shape = (2 * scale, 3, scale)
    parts = [
        numbers(shape, dtype),
        numbers(shape, dtype)[::-1],
        numbers(shape[::-1], dtype).T,
        np.broadcast_to(numbers((1, *shape[1:]), dtype), shape),
    ]
    for ours, numpys in ((strided.concatenate, np.concatenate), (strided.stack, np.stack)):
        for some in (parts, parts[2:3], [p[:, :0] for p in parts]):
            out = ours(some, axis)
            np.testing.assert_array_equal(out, numpys(some, axis))
            assert out.dtype == numpys(some, axis).dtype
    lengths = [p[(slice(None),) * axis + (slice(i),)] for i, p in enumerate(parts)]
    np.testing.assert_array_equal(strided.concatenate(lengths, axis), np.concatenate(lengths, axis))


def test_stack_of_scalars_and_on_a_new_last_axis():
    np.testing.assert_array_equal(strided.stack([np.array(1.0), np.array(2.0)], 0), [1, 2])
    x, y = numbers((3, 70), "f4"), numbers((70, 3), "f4").T
    np.testing.assert_array_equal(strided.stack([x, y], 2), np.stack([x, y], 2))


def test_arrays_that_are_not_alike():
    x, y = np.ones((2, 3), np.float32), np.ones((2, 3))
    assert strided.concatenate([x, y], 0).dtype == np.float64
    assert strided.stack([x, y], -1).shape == (2, 3, 2)
    for bad in ([], [x, x[0]], [x, x[:, :2]], [np.array(1.0)]):
        with pytest.raises(ValueError, match="array"):
            strided.concatenate(bad, 0)
    for bad in ([], [x, x[0]], [x, x[:, :2]]):
        with pytest.raises(ValueError, match="array"):
            strided.stack(bad, 0)
    with pytest.raises(np.exceptions.AxisError):
        strided.concatenate([x], 2)


# -------------------------------------------------------------------- zeros with an array in them

KEYS = [
    ((7, 9), np.s_[:, ::2]),
    ((7, 9), np.s_[::-3, 1:-1]),
    ((7, 9), np.s_[3]),
    ((7, 9), np.s_[3, 4]),
    ((7, 9), np.s_[3, 4, ...]),
    ((7, 9), np.s_[6:, 8:]),
    ((7, 9), np.s_[2:2]),
    ((7, 9), np.s_[None, ..., 2, None]),
    ((7, 9), ...),
    ((7, 0), np.s_[1:]),
    ((), ...),
    ((), ()),
    ((1000, 300), np.s_[:, ::2]),
    ((999, 301), np.s_[:, ::2]),
    ((999, 301), np.s_[:, 1::2]),
    ((1000, 300), np.s_[::-1, 1::3]),
    ((1000, 300), np.s_[400:600]),
    ((1000, 300), np.s_[:, 299]),
    ((1000, 300), np.s_[999, 299]),
    ((300_000,), np.s_[5:-70_000]),
    ((300_000,), np.s_[250_000::7]),
    ((300_000,), np.s_[::-2]),
    ((2, 3, 200, 300), np.s_[:, :, 5:-5, 7:-7]),
    ((2, 3, 200, 300), np.s_[:, 1]),
    ((2, 3, 200, 300), np.s_[1, ::-2, :, 4]),
    ((3, 5, 70, 80), np.s_[..., 1:3]),
]


@pytest.mark.parametrize("dtype", ["?", "f4", "f8", "c16", "G"])
@pytest.mark.parametrize(("shape", "key"), KEYS)
def test_embed(dtype, shape, key):
    part = np.asarray(np.ones(shape, dtype)[key])
    for g in (
        numbers(part.shape, dtype),
        np.asarray(numbers(part.shape[::-1], dtype).T + part.dtype.type(1)),
        np.broadcast_to(part.dtype.type(1), part.shape),
    ):
        expected = np.zeros(shape, dtype)
        expected[key] = g
        strided.copy(np.ones(shape, dtype))  # dirties the memory that comes next
        np.testing.assert_array_equal(strided.embed(g, shape, key), expected)


@given(layouts(), st.data())
def test_embed_any_slices(layout, data):
    shape = layout.room
    key = tuple([data.draw(st.slices(n)) for n in shape])
    expected = np.zeros(shape, np.float32)
    g = np.asarray(numbers(expected[key].shape, "f4") + np.float32(1))
    expected[key] = g
    strided.copy(np.ones(shape, np.float32))  # dirties the memory that comes next
    np.testing.assert_array_equal(strided.embed(g, shape, key), expected)


def test_embed_what_the_kernel_refuses():
    g = numbers(3, "f4")
    out = strided.embed(g, (2, 3), np.s_[:])
    np.testing.assert_array_equal(out, [[0, 1, 2]] * 2)
    mask = np.array([True, False, True, True])
    np.testing.assert_array_equal(strided.embed(g, (4,), mask), [0, 0, 1, 2])
    with pytest.raises(ValueError, match="broadcast"):
        strided.embed(g, (2, 3), np.s_[:, :2])
    with pytest.raises(IndexError):
        strided.embed(g, (2, 3), np.s_[2])


# -------------------------------------------------------------------- another shape

SPLITS = [
    (-1,), (4000,), (40, 100), (2, 20, 100), (20, 10, 20), (20, -1), (1, 20, 1, 200), (80, 50),
    (4, 1000), (8, 500), (10, 2, 5, 40), (20, 5, -1, 2),
]  # fmt: skip


@pytest.mark.parametrize("shape", SPLITS)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.reshape(20, 10, 20),
        lambda x: x.reshape(20, 20, 10).transpose(0, 2, 1),
        lambda x: x.reshape(10, 20, 20).transpose(1, 0, 2),
        lambda x: np.repeat(x.reshape(40, 100), 2, 1)[:, ::2],
        lambda x: np.repeat(x.reshape(40, 100), 2, 1)[:, :100],
        lambda x: x.reshape(20, 1, 10, 20)[::-1],
        lambda x: np.broadcast_to(x[:200].reshape(10, 20), (20, 10, 20)),
        lambda x: np.broadcast_to(x[:20, None], (20, 200)),
    ],
)
def test_reshape(make, shape):
    x = make(numbers(4000, "f8"))
    out, expected = strided.reshape(x, shape), x.reshape(shape)
    np.testing.assert_array_equal(out, expected)
    assert np.may_share_memory(out, x) == np.may_share_memory(expected, x)
    assert out.strides == expected.strides


def test_reshape_to_what_does_not_fit():
    x = numbers((60, 70), "f8").T
    for shape in ((60,), (-1, 11), (-1, -1), (0, -1), (4200, 2), ()):
        with pytest.raises(ValueError, match=r"reshape|unknown"):
            strided.reshape(x, shape)
    np.testing.assert_array_equal(strided.reshape(x, -1), x.reshape(-1))
