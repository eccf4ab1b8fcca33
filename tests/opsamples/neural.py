"""Rows of the operations of neural networks; tests/nn compares their public faces with PyTorch."""

import numpy as np

import lucid
from lucid.ops import embedding, neural
from tests.opsamples import Sample, distinct, real

INDEX = np.array([[0, 2], [2, 1]])
ENTRIES, BOUNDS = np.array([0, 3, 2, 0, 0, 1, 3, 1]), np.array([0, 3, 3, 7])  # the last in no bag
CLASSES = np.array([1, 0, 2, -100])
WEIGHT = np.array([0.5, 2.0, 1.0])
MEAN = np.array([-1.0, 0.0, 0.5])


def softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def chosen(x, *, weight, smoothing=0.0):
    """-log-likelihood under shares x of CLASSES, the last of which is ignored."""
    target = np.zeros(x.shape)
    rows = np.arange(3)
    target[rows, CLASSES[:3]] = 1 - smoothing
    target[:3] += smoothing / x.shape[1]
    return (-(np.log(x) * target * weight).sum(1)).astype(x.dtype)


def weight_of(x):
    return lucid.tensor(WEIGHT.astype(x.dtype))


def local_response_norm(x, *, size, alpha, beta, k):
    c = np.arange(x.shape[1])
    distance = c - c[:, None]
    window = (distance >= -(size // 2)) & (distance <= (size - 1) // 2)
    total = np.einsum("ci,ni...->nc...", window.astype(float), x.astype(float) ** 2)
    return (x / (k + alpha / size * total) ** beta).astype(x.dtype)


def bag_shares(mean, padding):
    """What each entry counts for in each bag: (bags, entries)."""
    share = np.zeros((3, 8))
    for bag in range(3):
        share[bag, BOUNDS[bag] : BOUNDS[bag + 1]] = 1
    share[:, np.equal(ENTRIES, padding)] = 0
    return share / np.maximum(share.sum(1, keepdims=True), 1) if mean else share


def bag_max(w):
    return np.stack([w[[0, 2]].max(0), 0 * w[0], w[[0, 1]].max(0)])  # without row 3


def functional(name):
    return lambda *args, **kwargs: getattr(lucid.nn.functional, name)(*args, **kwargs)


SAMPLES = [
    Sample("softmax", ((3, 4),), {"dim": 1}, numpy=softmax, torch="softmax"),
    Sample("softmax", ((3, 4, 2),), {"dim": -2}, numpy=softmax, torch="softmax"),
    Sample("softmax", ((2, 3, 9),), {"dim": 1}, numpy=softmax, torch="softmax"),
    Sample("softmax", ((3, 2, 3, 4),), {"dim": 0}, numpy=softmax, torch="softmax"),
    Sample("softmax", ((),), {"dim": 0}, torch="softmax"),
    Sample("softmax", ((0, 3),), {"dim": 1}, torch="softmax"),
    Sample("log_softmax", ((3, 4),), {"dim": 1}, torch="log_softmax"),
    Sample("log_softmax", ((3, 4, 2),), {"dim": 0}, torch="log_softmax"),
    Sample("log_softmax", ((2, 3, 9),), {"dim": 1}, torch="log_softmax"),
    Sample("log_softmax", ((0, 3),), {"dim": 1}, torch="log_softmax"),
    Sample("embedding", ((3, 2),), numpy=lambda w: w[INDEX],
           call=lambda w: embedding.embedding(w, INDEX, None)),
    Sample("embedding_backward", ((2, 2, 3),),
           numpy=lambda g: np.stack([g[0, 0], g[1, 1], 0 * g[0, 0]]),
           call=lambda g: embedding.embedding_backward(g, INDEX, 3, 2)),
    Sample("huber", (lambda rng, dtype: np.array([-2, -0.7, -0.1, 0.2, 0.6, 3], dtype),),
           numpy=lambda x: np.where(
               abs(x) < 0.5, 2 * x**2 / 2, 2 * 0.5 * (abs(x) - 0.25)).astype(x.dtype),
           call=lambda x: neural.huber(x, 0.5, 2.0)),
    *(
        Sample(name, shapes, {"mean": mean, "padding_idx": padding}, numpy=numpy, call=call)
        for mean, padding in ((False, -1), (True, -1), (False, 3), (True, 3))
        for name, shapes, numpy, call in (
            ("embedding_bag", ((4, 3), (8,)),
             lambda w, f, mean, padding_idx: (bag_shares(mean, padding_idx) * f) @ w[ENTRIES],
             lambda w, f, **kwargs: embedding.embedding_bag(w, f, ENTRIES, BOUNDS, **kwargs)),
            ("embedding_bag", ((4, 3),),
             lambda w, mean, padding_idx: bag_shares(mean, padding_idx) @ w[ENTRIES],
             lambda w, **kwargs: embedding.embedding_bag(w, None, ENTRIES, BOUNDS, **kwargs)),
            ("embedding_bag_backward", ((3, 2), (8,)),
             lambda g, f, mean, padding_idx: (
                 np.eye(4)[ENTRIES].T @ (bag_shares(mean, padding_idx) * f).T @ g),
             lambda g, f, **kwargs: embedding.embedding_bag_backward(
                 g, f, 4, ENTRIES, BOUNDS, **kwargs)),
            ("embedding_bag_products", ((3, 2), (4, 2)),
             lambda g, w, mean, padding_idx: (
                 bag_shares(mean, padding_idx) * (g @ w[ENTRIES].T)).sum(0),
             lambda g, w, **kwargs: embedding.embedding_bag_products(
                 g, w, ENTRIES, BOUNDS, **kwargs)),
        )
    ),
    Sample("embedding_bag_max", (distinct((4, 3)),), numpy=bag_max,
           call=lambda w: embedding.embedding_bag_maxima(w, ENTRIES, BOUNDS, 3)),
    Sample("nll_loss", ((4, 3),),
           numpy=lambda x: np.append(-(x * WEIGHT)[range(3), CLASSES[:3]], 0).astype(x.dtype),
           call=lambda x: neural.nll_loss_of(
               x, lucid.tensor(CLASSES), weight_of(x), -100, "none")),
    Sample("nll_loss_backward", ((4,),),
           numpy=lambda g: np.vstack(
               [-np.eye(3)[CLASSES[:3]] * WEIGHT * g[:3, None], np.zeros((1, 3))]).astype(g.dtype),
           call=lambda g: neural.nll_loss_backward(
               g, lucid.tensor(CLASSES), weight_of(g), (4, 3), -100, "none", 3.5)),
    Sample("cross_entropy", ((4, 3),),
           numpy=lambda x: chosen(
               softmax(x.astype(float), 1), weight=WEIGHT, smoothing=0.2).astype(x.dtype),
           call=lambda x: neural.cross_entropy_loss(
               x, lucid.tensor(CLASSES), weight_of(x), -100, 0.2, "none")),
    Sample("binary_cross_entropy", (real((3, 4), 0.1, 0.9), real((3, 4), 0.1, 0.9)),
           numpy=lambda x, y: -(y * np.log(x) + (1 - y) * np.log(1 - x)),
           call=neural.binary_cross_entropy, dtypes="f", tolerance=4),  # the logarithms cancel
    Sample("layer_norm", ((4, 5), (5,), (5,)),
           call=lambda x, w, b: neural.layer_norm_rows(x, w, b, 0.1),
           torch=lambda x, w, b: __import__("torch").nn.functional.layer_norm(x, (5,), w, b, 0.1),
           tolerance=4),  # sums over a row in another order
    Sample("rms_norm", ((4, 5), (5,)), call=lambda x, w: neural.rms_norm_rows(x, w, 0.1),
           torch=lambda x, w: __import__("torch").nn.functional.rms_norm(x, (5,), w, 0.1),
           tolerance=4),  # sums over a row in another order
    Sample("batch_norm", ((3, 4, 5), (4,), (4,)),
           call=lambda x, w, b: neural.batch_norm_channels(x, w, b, 0.1)[0],
           torch=lambda x, w, b: __import__("torch").nn.functional.batch_norm(
               x, None, None, w, b, True, 0.1, 0.1),
           tolerance=4),  # sums over a channel in another order
    Sample("batch_norm", ((3, 3, 5), (3,), (3,)),
           call=lambda x, w, b: neural.batch_norm_channels(x, w, b, 0.1, MEAN, WEIGHT)[0],
           numpy=lambda x, w, b: (
               (x - MEAN[:, None]) / np.sqrt(WEIGHT[:, None] + 0.1) * w[:, None] + b[:, None])),
    *(
        Sample("group_norm", (shape, (6,), (6,)),
               call=lambda x, w, b, groups=groups: neural.group_norm_channels(
                   x, groups, w, b, 0.1)[0],
               torch=lambda x, w, b, groups=groups: (
                   __import__("torch").nn.functional.group_norm(x, groups, w, b, 0.1)),
               tolerance=4)  # sums over a group in another order
        for shape, groups in (((3, 6, 2), 2), ((3, 6), 3), ((2, 6, 3, 4), 1), ((2, 6, 9), 6))
    ),
    *[
        Sample("local_response_norm", (shape,), {"size": size, "alpha": 0.7, "beta": beta, "k": k},
               numpy=local_response_norm, call=functional("local_response_norm"),
               tolerance=4)  # a power of a sum
        for shape, size, beta, k in (
            ((2, 5, 3), 3, 0.75, 1.0), ((1, 4, 2, 3), 4, 0.5, 2.0), ((3, 3), 1, 1.3, 0.5),
            ((2, 2, 1), 9, 2.0, 1.0), ((2, 3, 2), 2, 0.0, 1.0), ((2, 0, 3), 2, 0.75, 1.0),
        )
    ],
    Sample("gate", ((2, 3), (4,)), call=lambda x, y: neural.gate([x, y], lambda gs: gs)),
]  # fmt: skip
