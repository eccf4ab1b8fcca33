"""The models that `benchmarks.compare` trains, written once for both libraries.

Each is made by a function of the library's ``nn``, ``F`` (its functional namespace) and ``lib``
(the library itself), the only names by which the libraries differ. `MODELS` says of each what it
is fed and how many multiply-adds one sample takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

VOCABULARY = 65


def mlp(*sizes: int) -> Callable[..., Any]:
    def make(nn: Any, F: Any, lib: Any) -> Any:
        class MLP(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

            def forward(self, x):
                *hidden, last = self.layers
                for layer in hidden:
                    x = F.relu(layer(x))
                return last(x)

        return MLP()

    return make


def cnn(nn: Any, F: Any, lib: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet20(nn: Any, F: Any, lib: Any) -> Any:
    """He et al. 2016, "Deep residual learning for image recognition", section 4.2."""

    def convolution(inputs, outputs, size, stride):
        return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = convolution(inputs, outputs, 3, stride)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = convolution(outputs, outputs, 3, 1)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if inputs != outputs:
                self.shortcut = nn.Sequential(
                    convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            out = F.relu(self.norm1(self.conv1(x)))
            return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x))

    widths = [16, *[16] * 3, *[32] * 3, *[64] * 3]
    blocks = [Block(a, b, 2 if a != b else 1) for a, b in pairwise(widths)]
    return nn.Sequential(
        convolution(3, 16, 3, 1), nn.BatchNorm2d(16), nn.ReLU(),
        *blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def recurrent(kind: str) -> Callable[..., Any]:
    def make(nn: Any, F: Any, lib: Any) -> Any:
        class CharacterModel(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(VOCABULARY, 64)
                self.recurrent = getattr(nn, kind)(64, 256, batch_first=True)
                self.head = nn.Linear(256, VOCABULARY)

            def forward(self, x):
                return self.head(self.recurrent(self.embedding(x))[0]).reshape(-1, VOCABULARY)

        return CharacterModel()

    return make


def gpt(nn: Any, F: Any, lib: Any) -> Any:
    width, layers, heads, length = 192, 4, 6, 128

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.query_key_value = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def forward(self, x):
            batch, steps, _ = x.shape
            mixed = self.query_key_value(self.norm1(x))
            mixed = mixed.reshape(batch, steps, 3, heads, width // heads)
            q, k, v = mixed.permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(batch, steps, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(VOCABULARY, width)
            self.place = nn.Parameter(0.02 * lib.randn(length, width))
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, VOCABULARY)

        def forward(self, x):
            hidden = self.blocks(self.token(x) + self.place)
            return self.head(self.norm(hidden)).reshape(-1, VOCABULARY)

    F.scaled_dot_product_attention  # noqa: B018  missing: known before the first step
    return GPT()


# -------------------------------------------------------------------- what they are fed and cost


@dataclass
class Model:
    """One row of the table.

    Attributes:
        make: called with ``nn, F, lib``.
        sample: the shape of one input; of integers below `VOCABULARY` where ``tokens``.
        classes: how many the targets have: one target per sample, or per token.
        batch: of a training step.
        work: multiply-adds of one sample's forward pass, in the products alone.
        first: those of the layer whose input needs no gradient.
    """

    make: Callable[..., Any]
    sample: tuple[int, ...]
    classes: int
    batch: int
    work: int
    first: int = 0
    tokens: bool = False

    def step_flops(self) -> int:
        """Of a training step: forward, input gradients, weight gradients."""
        return 2 * self.batch * (3 * self.work - self.first)

    def data(self, lib: Any, batch: int) -> tuple[Any, Any]:
        shape = (batch, *self.sample)
        if self.tokens:
            return lib.randint(0, VOCABULARY, shape), lib.randint(0, self.classes, (prod(shape),))
        return lib.randn(*shape), lib.randint(0, self.classes, (batch,))


def _mlp(batch: int, *sizes: int) -> Model:
    work = sum(a * b for a, b in pairwise(sizes))
    return Model(mlp(*sizes), sizes[:1], sizes[-1], batch, work, sizes[0] * sizes[1])


def _recurrent(kind: str, gates: int) -> Model:
    work = 64 * (gates * 256 * (64 + 256) + 256 * VOCABULARY)
    return Model(recurrent(kind), (64,), VOCABULARY, 32, work, tokens=True)


_RESNET_FIRST = 32 * 32 * 9 * 3 * 16
_RESNET = (
    _RESNET_FIRST
    + 6 * 32 * 32 * 9 * 16 * 16
    + 16 * 16 * (9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32)
    + 8 * 8 * (9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64)
    + 64 * 10
)
# Causal attention needs half of the products of queries with keys and of weights with values.
_GPT = 128 * (4 * (12 * 192**2 + 128 * 192) + 192 * VOCABULARY)

MODELS = {
    "MLP 8-16-4": _mlp(32, 8, 16, 4),
    "MLP 64-64-64-4": _mlp(32, 64, 64, 64, 4),
    "MLP 12 layers of 128": _mlp(64, *[128] * 13),
    "MLP 784-512-256-10": _mlp(128, 784, 512, 256, 10),
    "CNN 1x28x28": Model(
        cnn, (1, 28, 28), 10, 64,
        work=28 * 28 * 9 * 32 + 14 * 14 * 9 * 32 * 64 + 3136 * 128 + 128 * 10,
        first=28 * 28 * 9 * 32,
    ),
    "ResNet-20 3x32x32": Model(resnet20, (3, 32, 32), 10, 32, _RESNET, _RESNET_FIRST),
    "LSTM 256": _recurrent("LSTM", 4),
    "GRU 256": _recurrent("GRU", 3),
    "GPT 192x4": Model(gpt, (128,), VOCABULARY, 8, _GPT, tokens=True),
}  # fmt: skip
