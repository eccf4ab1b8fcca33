"""Einstein summation, contracted pair by pair through matrix products.

Every step is an operation with a gradient of its own (diagonal, permute, sum, reshape, matmul), so
the summation needs none.
"""

from __future__ import annotations

import math
from typing import Any

from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops.matrix import matmul
from lucid.ops.reduction import sum as sum_over
from lucid.ops.shape import diagonal, movedim, permute, reshape, squeeze, tensor_of, unsqueeze

# A label is a letter of the equation, or ("...", i): the i-th dimension from the last that an
# ellipsis stands for.
Labels = list[Any]


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sum of products over labelled dimensions.

    Args:
        equation: the labels of each operand's dimensions, and after ``->`` those of the result.
            Without ``->`` the result has the labels that occur once, in alphabetical order.
            A label that occurs twice in one operand takes the diagonal; ``...`` stands for any
            dimensions, which broadcast.
        operands: the tensors, loose or as one sequence.

    ``einsum(x, [0, 1], y, [1, 2], [0, 2])`` spells the labels as numbers.

    Operands are contracted from left to right.

    Raises:
        ValueError: the equation does not make sense.
        ShapeError: it does not fit the operands.

    Example:
        >>> x, y = lucid.ones(2, 3), lucid.ones(3, 4)
        >>> lucid.einsum("ij,jk->ik", x, y).shape
        (2, 4)
        >>> lucid.einsum("ii", lucid.eye(3))
        tensor(3.)
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    tensors = [tensor_of(x, "einsum", f"operands[{i}]") for i, x in enumerate(operands)]
    inputs, output = _parse(equation, tensors)
    sizes = _sizes(inputs, tensors, equation)
    for label in output:
        if label not in sizes:
            raise ValueError(
                f"einsum: the label {label!r} of the result is in no operand: {equation!r}"
            )

    parts = [_without_repeats(x, labels) for x, labels in zip(tensors, inputs, strict=True)]
    x, labels = parts[0]
    for i, (y, others) in enumerate(parts[1:], 1):
        later = {label for _, rest in parts[i + 1 :] for label in rest} | set(output)
        x, labels = _contract(x, labels, y, others, later)
    x, labels = _sum_out(x, labels, set(output))
    # Labels may have been dropped where their size is 1.
    for label in output:
        if label not in labels:
            x, labels = unsqueeze(x, 0), [label, *labels]
    return permute(x, tuple([labels.index(label) for label in output]))


def _from_sublists(arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The equation that ``einsum(x, [0, 1], y, [1, 2], [0, 2])`` spells with numbers."""

    def letters(labels: Any) -> str:
        return "".join("..." if k is Ellipsis else _LETTERS[k] for k in labels)

    operands, sublists = arguments[: len(arguments) // 2 * 2 : 2], arguments[1::2]
    equation = ",".join(letters(labels) for labels in sublists)
    if len(arguments) % 2:
        equation += "->" + letters(arguments[-1])
    return equation, operands


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _parse(equation: str, tensors: list[Tensor]) -> tuple[list[Labels], Labels]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ValueError(
            f"einsum: the equation {equation!r} has {len(terms)} operands; got {len(tensors)}"
        )
    for term in [*terms, right]:
        rest = term.replace("...", "", 1)
        if rest and not (rest.isascii() and rest.isalpha()):
            raise ValueError(f"einsum: labels must be letters; got {term!r} in {equation!r}")
    inputs = []
    widest = 0
    for i, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        named = len(term.replace("...", ""))
        free = x.ndim - named
        if free < 0 or free > 0 and "..." not in term:
            raise ShapeError(
                f"einsum: {term!r} does not label the {x.ndim} dimensions of operands[{i}] "
                f"of shape {x.shape}"
            )
        widest = max(widest, free)
        inputs.append(_labels(term, free))
    if arrow:
        output = _labels(right, widest)
        if len(set(output)) < len(output):
            raise ValueError(f"einsum: the result has a label twice: {equation!r}")
    else:
        flat = "".join(terms).replace("...", "")
        output = _labels("...", widest) + sorted(c for c in set(flat) if flat.count(c) == 1)
    return inputs, output


def _labels(term: str, free: int) -> Labels:
    before, dots, after = term.partition("...")
    middle = [("...", i) for i in reversed(range(free))] if dots else []
    return [*before, *middle, *after]


def _sizes(inputs: list[Labels], tensors: list[Tensor], equation: str) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for i, (labels, x) in enumerate(zip(inputs, tensors, strict=True)):
        for label, n in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and n not in (1, known):
                raise ShapeError(
                    f"einsum: the label {label!r} has size {known}, but {n} in operands[{i}] "
                    f"of shape {x.shape}: {equation!r}"
                )
            sizes[label] = known if n == 1 else n
    return sizes


def _without_repeats(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Each label once: the diagonal of those that occur twice."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    f"einsum: the label {label!r} stands for sizes {x.shape[first]} and "
                    f"{x.shape[second]} in one operand"
                )
            x = movedim(diagonal(x, 0, first, second), -1, first)
            del labels[second]
    return x, labels


def _sum_out(x: Tensor, labels: Labels, wanted: set[Any]) -> tuple[Tensor, Labels]:
    gone = tuple([i for i, label in enumerate(labels) if label not in wanted])
    if gone:
        x = sum_over(x, gone, False, x.dtype)
        labels = [label for label in labels if label in wanted]
    return x, labels


def _contract(
    x: Tensor, left: Labels, y: Tensor, right: Labels, later: set[Any]
) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over what is not needed later: one matrix product."""
    # Where a dimension of size 1 meets a longer one it broadcasts: it may as well not be there.
    for label in set(left) & set(right):
        n, m = x.shape[left.index(label)], y.shape[right.index(label)]
        if n == 1 and m != 1:
            x, left = squeeze(x, left.index(label)), [k for k in left if k != label]
        elif m == 1 and n != 1:
            y, right = squeeze(y, right.index(label)), [k for k in right if k != label]
    x, left = _sum_out(x, left, later | set(right))
    y, right = _sum_out(y, right, later | set(left))

    both = [k for k in left if k in right]
    batch = [k for k in both if k in later]
    inner = [k for k in both if k not in later]
    rows = [k for k in left if k not in both]
    columns = [k for k in right if k not in both]

    def arranged(t: Tensor, labels: Labels, groups: list[Labels]) -> Tensor:
        order = tuple([labels.index(k) for group in groups for k in group])
        shape = [t.shape[labels.index(k)] for k in batch]
        for group in groups[1:]:
            shape.append(math.prod(t.shape[labels.index(k)] for k in group))
        return reshape(permute(t, order), tuple(shape))

    size = dict(zip([*left, *right], [*x.shape, *y.shape], strict=True))
    product = matmul(
        arranged(x, left, [batch, rows, inner]), arranged(y, right, [batch, inner, columns])
    )
    labels = [*batch, *rows, *columns]
    return reshape(product, tuple([size[k] for k in labels])), labels


FUNCTIONS = ["einsum"]
METHODS: list[str] = []
