"""Handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lucid._core.tape import wrap
from lucid._core.tensor import Tensor

__all__ = ["Digits", "load_digits"]


class Digits(NamedTuple):
    """Images and their labels, divided into what to train on and what to test with."""

    train_images: Tensor | np.ndarray
    train_labels: Tensor | np.ndarray
    test_images: Tensor | np.ndarray
    test_labels: Tensor | np.ndarray


def load_digits(return_tensors: bool = True, split: bool = True, seed: int = 0) -> Digits | tuple:
    """1,797 handwritten digits of 8x8 pixels: the test set of the UCI "Optical Recognition of
    Handwritten Digits" data.

    Thirteen people wrote them. Each image was a bitmap of 32x32; a pixel here is the share of
    black among 16 of its pixels, between 0 and 1.

    Args:
        return_tensors: tensors; otherwise NumPy arrays.
        split: divide the images at random into 1,438 to train on and a fifth, 359, to test with.
        seed: which division; the default's never changes.

    Returns:
        ``(train_images, train_labels, test_images, test_labels)``, or with ``split=False``
        ``(images, labels)``. Images are float32 of shape ``(N, 8, 8)``, labels int64 of shape
        ``(N,)``, 0 to 9. They are the caller's own, to be changed at will.

    Source:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, 1998, https://doi.org/10.24432/C50P49. Licence: CC BY 4.0,
        https://creativecommons.org/licenses/by/4.0/. Changes: only the test set, its values
        divided by 16.

    Example:
        >>> digits = lucid.datasets.load_digits()
        >>> digits.train_images.shape, digits.test_labels.shape
        ((1438, 8, 8), (359,))
    """
    with np.load(Path(__file__).with_name("digits.npz")) as data:
        images = data["images"].astype(np.float32) / 16
        labels = data["labels"].astype(np.int64)
    found: tuple[np.ndarray, ...] = (images, labels)
    if split:
        # RandomState is the one generator whose numbers NumPy promises never to change.
        order = np.random.RandomState(seed).permutation(len(labels))
        test, train = np.split(order, [len(labels) // 5])
        found = (images[train], labels[train], images[test], labels[test])
    given = tuple(wrap(array) for array in found) if return_tensors else found
    return Digits(*given) if split else given
