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
    """A block of the model with this config, from top to bottom: narrow inside, wide between blocks.

    Narrow itself, so that its words can be read where a telephone shows it as wide as its screen.
    """
    wide, narrow, inner = (config[f"{name}_size"] for name in ("hidden", "intra_bottleneck", "intermediate"))
    heads, stack = config["num_attention_heads"], config["num_feedforward_networks"]
    figure, axes = _canvas(4.0, 4.75)
    left, middle, height = 0.85, 2.25, 0.52
    top, bottlenecks, attention, feed_forward, bottom = 4.4, 3.5, 2.6, 1.6, 0.75
    _box(axes, middle, top, 1.2, height, said("input\n{} wide", wide), DATA)
    _box(axes, left, bottlenecks, 1.2, height, said("bottleneck\n{} → {}", wide, narrow), STEP)
    _box(axes, middle, bottlenecks, 1.3, height, said("shared bottleneck\n{} → {}", wide, narrow), STEP)
    _box(axes, middle, attention, 1.3, height, said("attention\n{} heads, {}", heads, narrow), STEP)
    words = said("{} ×\nfeed-forward\n{} → {} → {}", stack, narrow, inner, narrow)
    _box(axes, middle, feed_forward, 1.3, 0.66, words, STEP)
    _box(axes, middle, bottom, 1.3, 0.42, f"{narrow} → {wide}", STEP)
    half = height / 2
    _arrow(axes, (middle - 0.5, top - half), (left + 0.2, bottlenecks + half))
    for start, end in (
        (top - half, bottlenecks + half),
        (bottlenecks - half, attention + half),
        (attention - half, feed_forward + 0.33),
        (feed_forward - 0.33, bottom + 0.21),
    ):
        _arrow(axes, (middle, start), (middle, end))
    _arrow(axes, (left, bottlenecks - half), (middle - 0.55, feed_forward + 0.33), 0.2)
    _arrow(axes, (middle + 0.5, top - half), (middle + 0.65, attention + 0.1), -0.45)
    _arrow(axes, (middle + 0.6, top), (middle + 0.65, bottom), -0.5)
    axes.text(middle + 0.1, (bottlenecks + attention) / 2, "Q, K", fontsize=7, va="center")
    axes.text(middle + 0.97, bottlenecks - 0.1, "V", fontsize=7, va="center")
    axes.text(0.14, 2.3, said("residual, {} wide", narrow), fontsize=7)
    axes.text(3.95, 0.85, said("residual, {} wide", wide), fontsize=7, ha="right")
    note = "After every sum comes NoNorm: x · scale + shift, with no mean or variance to compute."
    axes.text(0.1, 0.2, said(note), fontsize=7)
    return figure
