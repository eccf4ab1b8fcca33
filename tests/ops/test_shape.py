"""Views that are written to, against PyTorch; errors; what is a view and what a copy."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid.errors import ShapeError


def both(torch, program):
    """Runs ``program(library, leaf)`` in lucid and in PyTorch; its results and gradients agree."""
    values = np.random.default_rng(0).standard_normal((3, 4))
    found = []
    for library, make in ((lucid, lucid.tensor), (torch, torch.tensor)):
        leaf = make(values, requires_grad=True)
        results = program(library, leaf)
        weights = [make(np.cos(np.arange(r.numel()).reshape(tuple(r.shape)))) for r in results]
        total = sum((r * r * w).sum() for r, w in zip(results, weights, strict=True))
        total.backward()
        found.append([r.detach().numpy() for r in results] + [leaf.grad.numpy()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def write_to_row(lib, leaf):
    base = leaf * 1
    row = base[1]
    row.mul_(leaf[0])
    return base, row


def write_to_base(lib, leaf):
    base = leaf * 1
    row = base[1]
    base.mul_(leaf + 1)
    return base, row


def view_of_view(lib, leaf):
    base = leaf * 1
    inner = base.t()[1:3][:, 0]
    inner.add_(leaf[2, :2])
    return base, inner


def reshape_of_transpose(lib, leaf):
    base = (leaf * 1).t()
    flat = base.t().reshape(-1)
    flat[3:7] = leaf[0] * leaf[1]
    return base, flat


def write_between_views(lib, leaf):
    base = leaf * 1
    a, b = base[:2], base[1:]
    a.mul_(2)
    b.mul_(leaf[:2])
    a.add_(leaf[1:])
    return base, a, b


def use_before_write(lib, leaf):
    base = leaf * 1
    row = base[0]
    before = row + 1
    row[1] = 5.0
    return base, before, row


def split_then_write(lib, leaf):
    # PyTorch refuses writes to the results of split itself, so the parts are sliced.
    base = leaf * 1
    a, b = base[:, :1], base[:, 1:]
    b.mul_(leaf[:, 1:])
    return base, a, b


def diagonal_written(lib, leaf):
    base = leaf * 1
    line = base.diagonal(1)
    line.mul_(leaf[0, :3])
    return base, line


def squeezed_and_unsqueezed(lib, leaf):
    base = leaf * 1
    view = base.unsqueeze(1).squeeze(1).permute(1, 0).movedim(0, 1)
    view[0] = leaf[1] * 3
    return base, view


def write_through_detached(lib, leaf):
    base = leaf * 1
    with lib.no_grad():
        base.detach()[0].mul_(3)
    return (base,)


def expanded_sees_base(lib, leaf):
    base = leaf[0] * 1
    wide = base.expand(2, 4)
    base.mul_(leaf[1])
    return base, wide


def view_written_by_index(lib, leaf):
    base = leaf * 1
    view = base.view(2, 6)
    view[:, [0, 2]] = leaf[:2, :2]
    view[1].mul_(0)
    return base, view


def chain(lib, leaf):
    base = leaf * 1
    view = base
    for _ in range(5):
        view = view.t()
        view[0].mul_(1.5)
    return base, view


PROGRAMS = [
    write_to_row, write_to_base, view_of_view, reshape_of_transpose, write_between_views,
    use_before_write, split_then_write, diagonal_written, squeezed_and_unsqueezed,
    write_through_detached, expanded_sees_base, view_written_by_index, chain,
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_writes_through_views_have_the_right_gradients(torch, program):
    both(torch, program)


def test_results_of_split_and_unbind_are_views_that_can_be_written_to():
    leaf = lucid.arange(6.0).requires_grad_()
    base = leaf * 1
    a, b = base.split(3)
    a.mul_(2)
    first = base.unbind()[0]
    first.add_(10)
    assert base.tolist() == [10, 2, 4, 3, 4, 5]
    (a.sum() + (b * b).sum() + first).backward()
    assert leaf.grad.tolist() == [4, 2, 2, 6, 8, 10]


def test_a_write_to_a_view_invalidates_what_was_saved_of_the_base():
    x = lucid.ones(4, requires_grad=True) * 1
    y = (x * x).sum()
    x[:2].mul_(2)
    with pytest.raises(RuntimeError, match="in-place"):
        y.backward()


def test_a_write_to_a_detached_alias_invalidates_what_was_saved():
    x = lucid.ones(4, requires_grad=True) * 1
    y = (x * x).sum()
    x.detach().reshape(2, 2)[0].mul_(2)
    with pytest.raises(RuntimeError, match="in-place"):
        y.backward()


def test_a_view_of_a_leaf_cannot_be_written_to():
    leaf = lucid.ones(2, 3, requires_grad=True)
    for view in (leaf[0], leaf.t(), leaf.reshape(-1), leaf.split(1)[0]):
        with pytest.raises(RuntimeError, match="leaf"):
            view.mul_(2)
    with lucid.no_grad():
        leaf.t()[0].mul_(2)
    assert leaf.tolist() == [[2, 1, 1], [2, 1, 1]]


VIEWS = {
    "reshape": lambda x: x.reshape(4, 3),
    "view": lambda x: x.view(-1),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim(0, 1),
    "squeeze": lambda x: x.squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "diagonal": lambda x: x.diagonal(),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(0, 1),
    "slice": lambda x: x[::-1, 1:],
    "element": lambda x: x[1, 2],
    "tensor element": lambda x: x[lucid.tensor(1)],
    "split": lambda x: x.split(2)[0],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind()[2],
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "detach": lambda x: x.detach(),
    "view as bytes": lambda x: x.view(lucid.int32),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    x = lucid.arange(12.0).reshape(3, 4).clone()
    view = VIEWS[name](x)
    assert np.shares_memory(view._data, x._data)
    version = x._version
    with lucid.no_grad():
        view.mul_(0)
    assert x._version == view._version == version + 1
    assert (view._data == 0).all()
    assert (x._data == 0).sum() >= view.numel()


COPIES = {
    "index": lambda x: x[[0, 1]],
    "mask": lambda x: x[x >= 0],
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1),
    "repeat": lambda x: x.repeat(1, 1),
    "tile": lambda x: x.tile(1),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "diag": lambda x: lucid.diag(x),
    "tril": lambda x: x.tril(),
    "rot90": lambda x: lucid.rot90(x, 0),
    "cat": lambda x: lucid.cat([x]),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not_share_memory(name):
    x = lucid.arange(12.0).reshape(3, 4).clone()
    assert not np.shares_memory(COPIES[name](x)._data, x._data)


def test_an_expanded_tensor_is_read_only():
    wide = lucid.ones(3, 1).expand(3, 4)
    with pytest.raises(ValueError, match="read-only"):
        wide.mul_(2)


def test_contiguous():
    x = lucid.ones(2, 3)
    assert x.contiguous() is x
    assert x.t().contiguous().is_contiguous()


def test_method_forms():
    x = lucid.ones(2, 3, 4)
    assert (
        x.reshape(6, -1).shape
        == x.reshape((6, -1)).shape
        == x.reshape(shape=(6, -1)).shape
        == (6, 4)
    )
    assert x.permute(2, 0, 1).shape == x.permute((2, 0, 1)).shape == x.permute(dims=(2, 0, 1)).shape
    assert x.view(4, 6).view_as(x).shape == x.reshape(24).reshape_as(x).shape == (2, 3, 4)
    assert x.flatten(-2).shape == (2, 12)
    assert x.unflatten(-1, 2, 2).shape == x.unflatten(-1, (2, -1)).shape == (2, 3, 2, 2)
    assert x[0, :, :1].expand(3, 4).shape == x[0, :, :1].expand_as(x[0]).shape == (3, 4)
    assert x.mT.shape == (2, 4, 3)
    assert x.squeeze(axis=0).shape == (2, 3, 4)
    assert lucid.broadcast_shapes((2, 1), (3,)) == (2, 3)


ERRORS = {
    "reshape": (
        lambda x: x.reshape(5),
        ShapeError,
        r"reshape: shape must hold the 6 .* got \(5,\)",
    ),
    "reshape float": (lambda x: x.reshape(1.5, 4), TypeError | ShapeError, "reshape"),
    "view": (lambda x: x.t().view(6), ShapeError, "view: .* use reshape"),
    "view_as_dtype": (lambda x: x.t().view(lucid.float64), ShapeError, "view: float32"),
    "transpose": (lambda x: x.transpose(0, 2), IndexError, r"transpose: dim must be in \[-2, 1\]"),
    "permute": (lambda x: x.permute(0, 0), ShapeError, "permute: dims must name each"),
    "flatten": (lambda x: x.flatten(1, 0), ShapeError, "start_dim"),
    "unflatten": (lambda x: x.unflatten(1, (2, 2)), ShapeError, "must multiply to 3"),
    "movedim": (lambda x: x.movedim((0, 1), 0), ShapeError, "as many"),
    "unsqueeze": (lambda x: x.unsqueeze(3), IndexError, "unsqueeze"),
    "expand": (lambda x: x.expand(2, 4), ShapeError, r"\(2, 3\) does not broadcast to \(2, 4\)"),
    "expand fewer": (lambda x: x.expand(3), ShapeError, "fewer"),
    "expand new": (lambda x: x.expand(-1, 2, 3), ShapeError, "-1 is not allowed"),
    "t": (lambda x: x.unsqueeze(0).t(), ShapeError, "at most 2"),
    "diagonal": (lambda x: x.diagonal(0, 1, 1), ShapeError, "must differ"),
    "narrow": (lambda x: x.narrow(0, 1, 2), IndexError, "start=1, length=2"),
    "select": (lambda x: x.select(0, 2), IndexError, "index 2 is out of range"),
    "unfold": (lambda x: x.unfold(1, 4, 1), ShapeError, r"size must be in \[0, 3\]"),
    "no tensor": (lambda x: lucid.reshape([1, 2], (2,)), TypeError, "Tensor; got list"),
    "no tensor 2": (lambda x: lucid.flatten(3), TypeError, "must be a Tensor; got int"),
    "broadcast": (
        lambda x: lucid.broadcast_tensors(x, lucid.ones(4)),
        ShapeError,
        "do not broadcast",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    kinds = kind if isinstance(kind, type) else kind.__args__
    with pytest.raises(kinds, match=message):
        call(lucid.ones(2, 3))
