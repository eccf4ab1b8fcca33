"""Trains a small network on handwritten digits, and watches its gradients while it does.

    python examples/train_digits.py

Ends with the accuracy on digits the network has not seen, the model in a file, and a picture of
the loss and the gradient norm over the run.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import lucid
import lucid.nn as nn
from lucid._extras import require


class Step(NamedTuple):
    """What is recorded of a training step."""

    loss: float
    norm: float  # of the gradient, before clipping
    clipped_norm: float  # and after


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
    )


def train(
    model: nn.Module, loader: lucid.data.DataLoader, epochs: int, lr: float, max_norm: float
) -> list[Step]:
    tqdm = require("tqdm", "examples", "the progress bar").tqdm
    optimizer = lucid.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)
    steps = epochs * len(loader)
    schedule = lucid.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    history: list[Step] = []
    with tqdm(total=steps, unit="step", file=sys.stdout) as bar:
        for _ in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(images), labels)
                loss.backward()
                norm = nn.utils.clip_grad_norm(model.parameters(), max_norm=max_norm)
                clipped_norm = nn.utils.get_total_norm(model.parameters())
                optimizer.step()
                schedule.step()
                history.append(Step(loss.item(), norm.item(), clipped_norm.item()))
                bar.update()
            last = history[-1]
            bar.set_postfix(loss=f"{last.loss:.4f}", norm=f"{last.norm:.3f}", refresh=False)
    return history


def accuracy(model: nn.Module, images: lucid.Tensor, labels: lucid.Tensor) -> float:
    """The share of images whose most likely class is the right one."""
    model.eval()
    with lucid.no_grad():
        hits = model(images).argmax(dim=1) == labels
    model.train()
    return hits.float().mean().item()


def draw(history: list[Step], window: int, max_norm: float, path: Path) -> None:
    """A picture of the run: the loss above, the gradient norm below, each with a running mean."""
    require("matplotlib", "examples", "the picture").use("Agg")
    from matplotlib import pyplot as plt

    figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(8, 5), layout="constrained")
    for axes, values, color, label in (
        (top, [step.loss for step in history], "tab:blue", "loss"),
        (bottom, [step.norm for step in history], "tab:orange", "gradient norm before clipping"),
        (bottom, [step.clipped_norm for step in history], "tab:green", "after clipping"),
    ):
        axes.plot(values, ".", markersize=2, alpha=0.2, color=color)
        mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axes.plot(np.arange(len(mean)) + window // 2, mean, color=color, label=label)
        axes.set(yscale="log")
        axes.grid(alpha=0.3)
    bottom.axhline(max_norm, color="black", linestyle=":", label="max_norm")
    bottom.set(xlabel="step")
    for axes in (top, bottom):
        axes.legend(loc="lower left", ncols=3, frameon=False)
    top.set(title="Training on handwritten digits")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=2e-3, help="default: %(default)s")
    parser.add_argument("--max-norm", type=float, default=1.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("out"), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="5 epochs only")
    parser.add_argument("--no-picture", action="store_true", help="do without matplotlib")
    options = parser.parse_args()
    if options.quick:
        options.epochs = 5
    if not options.no_picture:  # rather now than after the training
        require("matplotlib", "examples", "the picture")

    lucid.manual_seed(options.seed)
    digits = lucid.datasets.load_digits()
    loader = lucid.data.DataLoader(
        lucid.data.TensorDataset(digits.train_images, digits.train_labels),
        batch_size=options.batch_size,
        shuffle=True,
    )
    model = make_model()
    start = time.perf_counter()
    history = train(model, loader, options.epochs, options.lr, options.max_norm)
    seconds = time.perf_counter() - start

    reached = accuracy(model, digits.test_images, digits.test_labels)
    clipped = sum(step.norm > options.max_norm for step in history)
    first, last = history[0], history[-1]
    print(f"loss           {first.loss:.4f} at the first step, {last.loss:.4f} at the last")
    print(f"gradient norm  {first.norm:.4f} at the first step, {last.norm:.4f} at the last")
    print(f"  clipped to   {first.clipped_norm:.4f} and {last.clipped_norm:.4f}")
    share = clipped / len(history)
    print(f"clipping       active in {clipped} of {len(history)} steps ({share:.0%})")
    print(f"accuracy       {reached:.1%} of {len(digits.test_labels)} digits not trained on")
    print(f"time           {seconds:.2f} s, {seconds / len(history) * 1e6:.0f} us a step")

    options.output.mkdir(parents=True, exist_ok=True)
    lucid.save(model, options.output / "digits.safetensors")
    print(f"model          {options.output / 'digits.safetensors'}")
    if not options.no_picture:
        draw(history, len(loader), options.max_norm, options.output / "digits.png")
        print(f"picture        {options.output / 'digits.png'}")
    wanted = 0.9 if options.quick else 0.97
    if reached < wanted:
        print(f"expected an accuracy of at least {wanted:.0%}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
