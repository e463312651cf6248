"""The figures, drawn from records. Their words are Japanese where a font has them (Debian: fonts-ipafont-gothic), else
English."""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from mobilebert_ja.card.drawings import draw_block, draw_road
from mobilebert_ja.card.names import MODELS, TASKS, in_japanese
from mobilebert_ja.card.processors import by_kind
from mobilebert_ja.card.tables import unlabelled
from mobilebert_ja.card.tables.checkpoint import training_parts
from mobilebert_ja.card.tables.speed import measured
from mobilebert_ja.card.values import find, metrics_of
from mobilebert_ja.common.processor import has_vnni
from mobilebert_ja.settings import UNCUT

COLOURS = {
    "bert": "#7f7f7f",
    "bert_card": "#7f7f7f",
    "bert_onnx": "#7f7f7f",
    "mobilebert": "#1f77b4",
    "card": "#d62728",
    "onnx": "#ff7f0e",
    "fast": "#2ca02c",
}
NAMES = {
    "bert": "BERT",
    "bert_card": "BERT, int8 jit",
    "bert_onnx": "BERT, int8 ONNX",
    "mobilebert": "MobileBERT",
    "card": "MobileBERT, int8 jit",
    "onnx": "MobileBERT, int8 ONNX",
    "fast": "MobileBERT, fewer blocks",
}
_TRADEMARK = re.compile(r"\(R\)|\(TM\)| Processor$")  # a panel is narrow
_INK, _FAINT, _PAGE = "#e5e7eb", "#6b7280", "#0b0f19"
DARK: Any = {
    "figure.facecolor": _PAGE,
    "axes.facecolor": _PAGE,
    "savefig.facecolor": _PAGE,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
}
FONTS = (
    "ipagp.ttf",
    "ipag.ttf",
    "NotoSansCJK-Regular.ttc",
    "TakaoPGothic.ttf",
    "VL-PGothic-Regular.ttf",
)  # the best first


@functools.cache
def japanese_font() -> str | None:
    """The name of an installed font with kana and kanji, one of `FONTS` if possible; None if there is none."""
    order = {name: index for index, name in enumerate(FONTS)}
    installed = sorted(font_manager.findSystemFonts(), key=lambda path: (order.get(Path(path).name, len(FONTS)), path))
    for path in installed:
        try:
            characters = FT2Font(path).get_charmap()
        except (RuntimeError, OSError):  # a bitmap font, a broken file
            continue
        if all(ord(each) in characters for each in "あア語"):
            font_manager.fontManager.addfont(path)
            return font_manager.FontProperties(fname=path).get_name()
    return None


def said(words: str, *values: Any) -> str:
    """Words of a figure in the language that it can be drawn in, with values in their {}."""
    return (in_japanese(words) if japanese_font() else words).format(*values)


def style(dark: bool) -> Any:
    """The settings of a figure for a light or a dark page."""
    fonts = [font] if (font := japanese_font()) else []
    return {"font.family": [*fonts, "DejaVu Sans"], **(DARK if dark else {})}


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    # Without a date and a version in it, the same records give the same bytes.
    figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    temporary.replace(path)
    return path


def pretraining_curve(records: dict[str, Any], path: Path) -> Path | None:
    """Training loss by tokens seen, with the held-out loss before, after and, if measured, as it went. None without
    the record."""
    metrics = find(records, "pretraining.metrics")
    if not metrics or not metrics.get("history"):
        return None
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    phases = [part["metrics"] for part in training_parts(records)]
    between: list[tuple[float, float]] = []
    ends, heldout = [0.0], [phases[0]["before"]["mlm_loss"]]
    for phase in phases:
        tokens_per_step = phase["tokens_seen"] / phase["steps"] / 1e6
        x = [ends[-1] + point["step"] * tokens_per_step for point in phase["history"]]
        fewer = phase.get("parameters", 0) < metrics.get("parameters", 0)
        kind = said("training, fewer blocks" if fewer else "training")
        label = None if kind in axes.get_legend_handles_labels()[1] else kind  # of several parts alike, the first
        colour = COLOURS["bert" if fewer else "mobilebert"]
        axes.plot(x, [point["mlm_loss"] for point in phase["history"]], color=colour, label=label)
        between += [(ends[-1] + each["tokens"] / 1e6, each["mlm_loss"]) for each in phase.get("heldout_history", [])]
        ends.append(ends[-1] + phase["tokens_seen"] / 1e6)
        heldout.append(phase["after"]["mlm_loss"])
    axes.plot(ends, heldout, "o", color=COLOURS["card"], label=said("held-out text"))
    if between:
        axes.plot(*zip(*between, strict=True), ".", color=COLOURS["card"])
    for x_end, value in zip(ends, heldout, strict=True):
        right = x_end > 0
        axes.annotate(
            f"{value:.2f}",
            (x_end, value),
            xytext=(-8 if right else 8, 6),
            textcoords="offset points",
            ha="right" if right else "left",
        )
    axes.set(xlabel=said("tokens seen (millions)"), ylabel=said("masked-word loss"))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.margins(y=0.1)
    return _save(figure, path)


def time_bars(records: dict[str, Any], path: Path) -> Path | None:
    """Median time of one item of every model timed, with the 90th percentile as a whisker: a panel for each task, and
    a row of them for each kind of processor. None if nothing was timed."""
    timed = [task for task in TASKS if find(records, f"speed_{task}.metrics.contenders")]
    if not timed:
        return None
    by_task = {task: by_kind(records, f"speed_{task}") for task in timed}
    names = [
        name
        for name in MODELS
        if any(measured(seen, task, name).median_ms for task in timed for seen in by_task[task])
    ]
    rows = max(len(kinds) for kinds in by_task.values())
    figure, panels = plt.subplots(
        rows, len(timed), figsize=(7, rows * (0.8 + 0.42 * len(names)) + 0.2), layout="constrained", squeeze=False
    )
    processors = {task: [_processor(seen, task) for seen in by_task[task]] for task in timed}
    differ = len({each for every in processors.values() for each in every}) > 1
    for row, of_one_kind in enumerate(panels):
        ends: list[float] = []
        for axes, task in zip(of_one_kind, timed, strict=True):
            if row >= len(by_task[task]):
                axes.set_axis_off()
                continue
            ends += _bars(axes, by_task[task][row], task, names, task == timed[0])
            axes.set(title=said(TASKS[task].english) + (f"\n{processors[task][row]}" if differ else ""))
        for axes in of_one_kind:
            axes.set_xlim(0, 1.4 * max(ends))  # one scale, so that bars of the two tasks can be compared
    figure.supxlabel(said("ms per item (whisker: 90th percentile)"), fontsize="medium")
    return _save(figure, path)


def _processor(records: dict[str, Any], task: str) -> str:
    """What a task's speeds were measured on, as a title."""
    hardware = find(records, f"speed_{task}.hardware") or {}
    with_vnni = has_vnni(hardware)
    kind = "" if with_vnni is None else said(" (VNNI)") if with_vnni else said(" (without VNNI)")
    return _TRADEMARK.sub("", str(hardware.get("processor"))) + kind


def _bars(axes: Any, records: dict[str, Any], task: str, names: list[str], labelled: bool) -> list[float]:
    """Draw a bar for each of `names` that was timed, and return where the bars with their whiskers end (ms)."""
    ends: list[float] = []
    for place, name in enumerate(names):
        model = measured(records, task, name)
        if not model.median_ms:
            continue
        ends.append(max(model.p90_ms or 0.0, model.median_ms))
        whisker = [[0.0], [ends[-1] - model.median_ms]]
        axes.barh(place, model.median_ms, xerr=whisker, color=COLOURS[name], height=0.6, ecolor="#8a8f98")
        axes.annotate(
            f"{model.median_ms:.1f} ms", (ends[-1], place), xytext=(5, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(names)), [said(NAMES[name]) if labelled else "" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return ends


def score_by_time(records: dict[str, Any], path: Path) -> Path | None:
    """Score against time per item of every model that has both, spread over the seeds as a whisker; else None."""
    models = {task: [measured(records, task, name) for name in MODELS] for task in TASKS}
    points = {task: [each for each in every if each.score and each.median_ms] for task, every in models.items()}
    points = {task: every for task, every in points.items() if every}
    if not points:
        return None
    figure, panels = plt.subplots(1, len(points), figsize=(7, 3.4), layout="constrained", squeeze=False)
    for axes, (task, every) in zip(panels[0], points.items(), strict=True):
        for model in every:
            axes.errorbar(
                model.median_ms,
                100 * (model.score or 0.0),
                yerr=100 * (model.std or 0.0),
                fmt="o",
                capsize=3,
                color=COLOURS[model.name],
                label=said(NAMES[model.name]) + (said(", not pretrained") if model.from_scratch else ""),
            )
        axes.set(title=said(TASKS[task].english), xlabel=said("ms per item"), ylabel=said(f"{TASKS[task].metric} (%)"))
        axes.margins(0.3)
        axes.set_xscale("log")
        lowest, highest = axes.get_xlim()
        ticks = (digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5))
        axes.set_xticks([each for each in ticks if lowest <= each <= highest])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles = dict(pair for axes in panels[0] for pair in zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    return _save(figure, path)


def cuts(records: dict[str, Any], path: Path) -> Path | None:
    """Score against time per item of each cut of the fine-tuned model (blocks x share of the width). None without."""
    models = {task: find(records, f"cuts_{task}.metrics.models") for task in TASKS}
    models = {task: facts for task, facts in models.items() if facts}
    if not models:
        return None
    figure, panels = plt.subplots(1, len(models), figsize=(7, 3.2), layout="constrained", squeeze=False)
    for axes, (task, facts) in zip(panels[0], models.items(), strict=True):
        for name, each in sorted(facts.items(), key=lambda item: item[1]["median_ms"]):
            point = (each["median_ms"], 100 * each["score"])
            spread = [[each["median_ms"] - each["p10_ms"]], [each["p90_ms"] - each["median_ms"]]]
            colour = COLOURS["onnx" if name == UNCUT else "fast"]
            axes.errorbar(*point, xerr=spread, fmt="o", color=colour, elinewidth=1, capsize=2)
            axes.annotate(
                said(name) if name == UNCUT else said("{} blocks, FFN {}", *name.split("x")),
                (each["p90_ms"], point[1]),  # beside the whisker: points may stand close to each other
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
        axes.set(
            xlim=(0, 1.3 * max(each["p90_ms"] for each in facts.values())),
            title=said(TASKS[task].english),
            xlabel=said("ms per item (whiskers: 10th and 90th percentile)"),
            ylabel=said(f"{TASKS[task].metric} (%)"),
        )
        axes.margins(0.18)
        axes.grid(alpha=0.3)
    return _save(figure, path)


def sentence_lengths(records: dict[str, Any], path: Path) -> Path | None:
    """How long the corpus's sentences are. None without the record."""
    counts = find(records, "corpus.metrics.sentence_lengths")
    if not counts:
        return None
    starts = sorted(int(start) for start in counts)
    step = min((second - first for first, second in itertools.pairwise(starts)), default=10)
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    heights = [counts[str(start)] / 1000 for start in starts]
    axes.bar(starts, heights, width=0.9 * step, align="edge", color=COLOURS["mobilebert"])
    axes.set(xlabel=said("characters in a sentence"), ylabel=said("sentences (thousands)"))
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def token_statistics(records: dict[str, Any], path: Path) -> Path | None:
    """Unknown tokens and tokens per word on three kinds of text, with and without a limit on the alphabet."""
    quality = find(records, "tokenizer_quality.metrics.quality")
    if not quality:
        return None
    figure, panels = plt.subplots(1, 3, figsize=(7, 2.8), layout="constrained")
    measures = (
        ("unknown_rate", 100, "unknown tokens (%)"),
        ("tokens_per_word", 1, "tokens per word"),
        ("tokens_per_character", 1, "tokens per character"),
    )
    names = {"limited": "the vocabulary", "unlimited": "without a limit on the alphabet"}
    for axes, (measure, scale, label) in zip(panels, measures, strict=True):
        for series, (name, colour) in enumerate(zip(names, (COLOURS["mobilebert"], COLOURS["bert"]), strict=True)):
            kinds = quality[name]
            heights = [facts[measure] * scale for facts in kinds.values()]
            middles = [kind + 0.38 * (series - 0.5) for kind in range(len(kinds))]
            axes.bar(middles, heights, width=0.36, color=colour, label=said(names[name]))
        axes.set_xticks(range(len(kinds)), [said(kind) for kind in kinds], fontsize="small")
        axes.set_title(said(label), fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return _save(figure, path)


def confusion_matrix(records: dict[str, Any], path: Path) -> Path | None:
    """What titles of each category were taken for, in percent of the category, over all seeds. None if not known."""
    runs = find(records, "livedoor.metrics.runs") or []
    counts = [run["details"]["confusion"] for run in runs if "confusion" in run["details"]]
    if not counts:
        return None
    names = sorted({name for each in counts for name in each})
    shares = []
    for wanted in names:
        answers = [sum(each.get(wanted, {}).get(name, 0) for each in counts) for name in names]
        shares.append([100 * count / max(sum(answers), 1) for count in answers])
    figure, axes = plt.subplots(figsize=(7, 5.6), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if value >= 0.5:
                colour = "white" if value > 55 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=said("answer"), ylabel=said("category"))
    axes.set_title(said("percent of the category's titles, by answer"), fontsize="medium")
    return _save(figure, path)


def learning_curves(records: dict[str, Any], path: Path) -> Path | None:
    """Score by number of training items, beside the classical model's. None if no curve was measured."""
    tasks = {task: unlabelled.learning_curves(records, task) for task in TASKS}
    tasks = {task: curves for task, curves in tasks.items() if curves}
    if not tasks:
        return None
    figure, panels = plt.subplots(1, len(tasks), figsize=(7, 3.2), layout="constrained", squeeze=False)
    for axes, (task, curves) in zip(panels[0], tasks.items(), strict=True):
        classical = metrics_of(records, f"learning_curve_{task}")["baseline"].upper()
        names = {
            "model": ("MobileBERT", "mobilebert"),
            "silver": ("MobileBERT, with teachers", "fast"),
            "baseline": (classical, "bert"),
        }
        for name, (label, colour) in names.items():
            if name in curves:
                sizes, scores = list(curves[name]), [100 * score for score in curves[name].values()]
                axes.plot(sizes, scores, "o-", color=COLOURS[colour], label=said(label))
        sizes = list(curves["model"])
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize="small")
        axes.minorticks_off()
        axes.set(
            title=said(TASKS[task].english), xlabel=said("training items"), ylabel=said(f"{TASKS[task].metric} (%)")
        )
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    return _save(figure, path)


def road(records: dict[str, Any], path: Path) -> Path | None:
    """From raw text to a fast model. None if there is no record at all."""
    return _save(draw_road(said), path) if records else None


def block(records: dict[str, Any], path: Path) -> Path | None:
    """One block of the model, its sizes from the checkpoint's config. None without it."""
    config = find(records, "checkpoint.config")
    return _save(draw_block(config, said), path) if config else None


FIGURES = {
    "pretraining": pretraining_curve,
    "time": time_bars,
    "score": score_by_time,
    "cuts": cuts,
    "confusion": confusion_matrix,
    "learning": learning_curves,
    "sentences": sentence_lengths,
    "tokens": token_statistics,
    "road": road,
    "block": block,
}


def draw_figures(records: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Draw what the records allow, each for a light page (NAME.png) and for a dark one (NAME-dark.png).

    Returns name -> the light one.
    """
    drawn: dict[str, Path] = {}
    for ending, dark in (("", False), ("-dark", True)):
        with plt.rc_context(style(dark)):
            for name, draw in FIGURES.items():
                if draw(records, folder / f"{name}{ending}.png") is not None:
                    drawn.setdefault(name, folder / f"{name}.png")
    return drawn
