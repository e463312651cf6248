"""Two drawings in boxes and arrows: the road, and one block of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

DATA, STEP, MODEL = "#7f7f7f", "#1f77b4", "#d62728"  # what is read or kept, what is done, what can be used


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure whose axes are in inches."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def _box(axes: Any, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    """A box around its middle."""
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.06", fc=(colour, 0.13), ec=colour)
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8, linespacing=1.35)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            color="#8a8f98",
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={bend}",
        )
    )


def draw_road(said: Callable[..., str]) -> Any:
    """From raw text to a fast model, left to right in three rows; `said` puts words into the figure's language."""
    figure, axes = _canvas(7.2, 3.3)
    width, height, columns, rows = 1.24, 0.62, [0.8, 2.2, 3.6, 5.0, 6.4], [2.75, 1.65, 0.55]
    for row, boxes in zip(
        rows,
        (
            [
                ("raw text", DATA),
                ("sentences\nbuild_corpus", STEP),
                ("vocabulary\ntrain_tokenizer", STEP),
                ("packed shards\npack_corpus", STEP),
                ("word vectors\nembed_words", STEP),
            ],
            [
                ("teacher\npretrain", STEP),
                ("transfer\ndistill", STEP),
                ("shallow student\npretrain", STEP),
                ("student\npretrain", STEP),
                ("checkpoint\n(this repository)", MODEL),
            ],
            [
                ("your data", DATA),
                ("fine-tuned\nfinetune", STEP),
                ("sped up\ncompress", STEP),
                ("fast model\nwithout torch", MODEL),
                ("measured\nmeasure", STEP),
            ],
        ),
        strict=True,
    ):
        for column, (text, colour) in zip(columns, boxes, strict=True):
            _box(axes, column, row, width, height, said(text), colour)
    half = width / 2
    for row, joined in zip(rows, ((0, 1, 2, 3), (0, 2, 3), (0, 1, 2, 3)), strict=True):
        for number in joined:
            _arrow(axes, (columns[number] + half, row), (columns[number + 1] - half, row))
    down = height / 2
    _arrow(axes, (columns[4], rows[0] - down), (columns[2] + 0.3, rows[1] + down), 0.0)  # start the student
    _arrow(axes, (columns[1], rows[1] - down), (columns[3] - 0.2, rows[1] - down), 0.35)  # transfer starts the student
    _arrow(axes, (columns[4], rows[1] - down), (columns[1] + 0.2, rows[2] + down), 0.0)  # the checkpoint is tuned
    axes.text(columns[0] - half, rows[1] + down + 0.07, said("with accelerators"), fontsize=7, color="#8a8f98")
    return figure


def draw_block(config: dict[str, Any], said: Callable[..., str]) -> Any:
    """A block of the model with this config: narrow inside, wide between blocks."""
    wide, narrow, inner = (config[f"{name}_size"] for name in ("hidden", "intra_bottleneck", "intermediate"))
    heads, stack = config["num_attention_heads"], config["num_feedforward_networks"]
    figure, axes = _canvas(7.2, 3.1)
    middle, height = 1.55, 0.62
    _box(axes, 0.72, middle, 1.06, height, said("input\n{} wide", wide), DATA)
    _box(axes, 2.3, 2.45, 1.3, height, said("bottleneck\n{} → {}", wide, narrow), STEP)
    _box(axes, 2.3, middle, 1.3, height, said("shared bottleneck\n{} → {}", wide, narrow), STEP)
    _box(axes, 3.95, middle, 1.3, height, said("attention\n{} heads, {}", heads, narrow), STEP)
    _box(axes, 5.4, middle, 1.25, 0.8, said("{} ×\nfeed-forward\n{} → {} → {}", stack, narrow, inner, narrow), STEP)
    _box(axes, 6.66, middle, 0.86, height, f"{narrow} → {wide}", STEP)
    _arrow(axes, (1.25, middle + 0.1), (1.65, 2.4), 0.0)
    _arrow(axes, (1.25, middle), (1.65, middle))
    _arrow(axes, (2.95, middle), (3.3, middle))
    _arrow(axes, (2.95, 2.45), (4.72, middle + 0.42), -0.25)
    _arrow(axes, (4.6, middle), (4.77, middle))
    _arrow(axes, (6.03, middle), (6.23, middle))
    _arrow(axes, (0.62, middle - 0.31), (6.66, middle - 0.31), 0.18)
    _arrow(axes, (0.82, middle - 0.31), (3.5, middle - 0.31), 0.2)
    axes.text(3.13, 1.62, "Q, K", fontsize=7, ha="center")
    axes.text(2.3, 0.84, "V", fontsize=7, ha="center")
    axes.text(4.3, 2.62, said("residual, {} wide", narrow), fontsize=7, ha="center")
    axes.text(4.3, 0.52, said("residual, {} wide", wide), fontsize=7, ha="center")
    note = "After every sum comes NoNorm: x · scale + shift, with no mean or variance to compute."
    axes.text(0.2, 0.18, said(note), fontsize=7)
    return figure
