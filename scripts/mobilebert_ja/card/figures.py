"""The card's figures, drawn from records. Words in them are English: a Japanese font is not everywhere installed."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from mobilebert_ja.card.checkpoint import training_parts
from mobilebert_ja.card.drawings import DRAWINGS
from mobilebert_ja.card.render import TASKS, contender, find
from mobilebert_ja.card.speed import MODELS
from mobilebert_ja.settings import UNCUT

COLOURS = {
    "bert": "#7f7f7f",
    "bert_card": "#7f7f7f",
    "bert_onnx": "#7f7f7f",
    "mobilebert": "#1f77b4",
    "compressed": "#d62728",
    "onnx": "#ff7f0e",
    "fast": "#2ca02c",
}
NAMES = {
    "bert": "BERT",
    "bert_card": "BERT, int8 jit",
    "bert_onnx": "BERT, int8 ONNX",
    "mobilebert": "MobileBERT",
    "compressed": "MobileBERT, int8 jit",
    "onnx": "MobileBERT, int8 ONNX",
    "fast": "MobileBERT, fewer blocks",
}
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
TASK_NAMES = {"livedoor": "news titles", "ner": "named entities"}


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
        tokens_a_step = phase["tokens_seen"] / phase["steps"] / 1e6
        x = [ends[-1] + point["step"] * tokens_a_step for point in phase["history"]]
        fewer = phase.get("parameters", 0) < metrics.get("parameters", 0)
        label = ("training, fewer blocks" if fewer else "training") if phase is phases[0] or phase is metrics else None
        colour = COLOURS["bert" if fewer else "mobilebert"]
        axes.plot(x, [point["mlm_loss"] for point in phase["history"]], color=colour, label=label)
        between += [(ends[-1] + each["tokens"] / 1e6, each["mlm_loss"]) for each in phase.get("heldout_history", [])]
        ends.append(ends[-1] + phase["tokens_seen"] / 1e6)
        heldout.append(phase["after"]["mlm_loss"])
    axes.plot(ends, heldout, "o", color=COLOURS["compressed"], label="held-out text")
    if between:
        axes.plot(*zip(*between, strict=True), ".", color=COLOURS["compressed"])
    for place, value in zip(ends, heldout, strict=True):
        right = place > 0
        axes.annotate(
            f"{value:.2f}",
            (place, value),
            xytext=(-8 if right else 8, 6),
            textcoords="offset points",
            ha="right" if right else "left",
        )
    axes.set(xlabel="tokens seen (millions)", ylabel="masked-word loss", title="Pretraining of the student")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.margins(y=0.1)
    return _save(figure, path)


def time_bars(records: dict[str, Any], path: Path) -> Path | None:
    """Median time of one item of every model timed, with the 90th percentile as a whisker. None if nothing was."""
    timed = [task for task in TASKS if find(records, f"speed_{task}.metrics.contenders")]
    if not timed:
        return None
    names = [name for name in MODELS if any(contender(records, task, name)["median_ms"] for task in timed)]
    figure, panels = plt.subplots(
        1, len(timed), figsize=(7, 1.0 + 0.42 * len(names)), layout="constrained", squeeze=False
    )
    for axes, task in zip(panels[0], timed, strict=True):
        facts = {name: contender(records, task, name) for name in names}
        for place, (name, each) in enumerate(facts.items()):
            if not each["median_ms"]:
                continue
            whisker = [[0.0], [max(0.0, each["p90_ms"] - each["median_ms"])]]
            axes.barh(place, each["median_ms"], xerr=whisker, color=COLOURS[name], height=0.6, ecolor="#8a8f98")
            axes.annotate(
                f"{each['median_ms']:.1f} ms",
                (max(each["p90_ms"], each["median_ms"]), place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(names)), [NAMES[name] for name in names] if task == timed[0] else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        longest = max(max(each["p90_ms"], each["median_ms"]) for each in facts.values() if each["p90_ms"])
        axes.set_xlim(0, 1.4 * longest)
        axes.set(title=TASK_NAMES[task])
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("ms an item (whisker: 90th percentile)", fontsize="medium")
    return _save(figure, path)


def score_by_time(records: dict[str, Any], path: Path) -> Path | None:
    """Score against time an item of every model that has both, spread over the seeds as a whisker; else None."""
    points = {
        task: {
            name: facts for name in MODELS if (facts := contender(records, task, name))["score"] and facts["median_ms"]
        }
        for task in TASKS
    }
    points = {task: facts for task, facts in points.items() if facts}
    if not points:
        return None
    figure, panels = plt.subplots(1, len(points), figsize=(7, 3.4), layout="constrained", squeeze=False)
    for axes, (task, facts) in zip(panels[0], points.items(), strict=True):
        for name, each in facts.items():
            axes.errorbar(
                each["median_ms"],
                each["score"] * 100,
                yerr=(each["std"] or 0) * 100,
                fmt="o",
                capsize=3,
                color=COLOURS[name],
                label=NAMES[name] + each["note_in_english"],
            )
        axes.set(title=TASK_NAMES[task], xlabel="ms an item", ylabel=f"{TASKS[task]['metric']} (%)")
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
    """Score against time an item of each cut of the fine-tuned model (blocks x share of the width). None without."""
    models = {task: find(records, f"cuts_{task}.metrics.models") for task in TASKS}
    models = {task: facts for task, facts in models.items() if facts}
    if not models:
        return None
    figure, panels = plt.subplots(1, len(models), figsize=(7, 3.2), layout="constrained", squeeze=False)
    for axes, (task, facts) in zip(panels[0], models.items(), strict=True):
        for number, (name, each) in enumerate(sorted(facts.items(), key=lambda item: item[1]["median_ms"])):
            place, above = (each["median_ms"], 100 * each["score"]), number % 2
            axes.plot(*place, "o", color=COLOURS["onnx" if name == UNCUT else "fast"])
            axes.annotate(
                name,
                place,
                xytext=(0, 6 if above else -6),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize="small",
            )
        axes.set(title=TASK_NAMES[task], xlabel="ms an item", ylabel=f"{TASKS[task]['metric']} (%)")
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
    axes.set(
        xlabel="characters in a sentence", ylabel="sentences (thousands)", title="The corpus, sentence by sentence"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def token_statistics(records: dict[str, Any], path: Path) -> Path | None:
    """Unknown tokens and tokens a word on three kinds of text, with and without a limit on the alphabet."""
    quality = find(records, "tokenizer_quality.metrics.quality")
    if not quality:
        return None
    figure, panels = plt.subplots(1, 3, figsize=(7, 2.8), layout="constrained")
    measures = (
        ("unknown_rate", 100, "unknown tokens (%)"),
        ("tokens_per_word", 1, "tokens a word"),
        ("tokens_per_character", 1, "tokens a character"),
    )
    names = {"limited": "the vocabulary", "unlimited": "without a limit on the alphabet"}
    for axes, (measure, scale, label) in zip(panels, measures, strict=True):
        for place, (name, colour) in enumerate(zip(names, (COLOURS["mobilebert"], COLOURS["bert"]), strict=True)):
            kinds = quality[name]
            heights = [facts[measure] * scale for facts in kinds.values()]
            places = [number + 0.38 * (place - 0.5) for number in range(len(kinds))]
            axes.bar(places, heights, width=0.36, color=colour, label=names[name])
        axes.set_xticks(range(len(kinds)), list(kinds), fontsize="small")
        axes.set_title(label, fontsize="medium")
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
    axes.set(xlabel="answer", ylabel="category", title="News titles: answers in percent of the category")
    return _save(figure, path)


def learning_curves(records: dict[str, Any], path: Path) -> Path | None:
    """Score by number of training items, beside the classical model's. None if no curve was measured."""
    curves = {task: find(records, f"learning_curve_{task}.metrics") for task in TASKS}
    curves = {task: metrics for task, metrics in curves.items() if metrics}
    if not curves:
        return None
    figure, panels = plt.subplots(1, len(curves), figsize=(7, 3.2), layout="constrained", squeeze=False)
    for axes, (task, metrics) in zip(panels[0], curves.items(), strict=True):
        names = {"model": ("MobileBERT", "mobilebert"), "baseline": (metrics["baseline"].upper(), "bert")}
        for name, (label, colour) in names.items():
            runs = [point[name] for point in metrics["points"]]
            sizes, scores = [run["train_size"] for run in runs], [100 * mean(run["scores"]) for run in runs]
            axes.plot(sizes, scores, "o-", color=COLOURS[colour], label=label)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize="small")
        axes.minorticks_off()
        axes.set(title=TASK_NAMES[task], xlabel="training items", ylabel=f"{TASKS[task]['metric']} (%)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    return _save(figure, path)


FIGURES = {
    "pretraining": pretraining_curve,
    "time": time_bars,
    "score": score_by_time,
    "cuts": cuts,
    "confusion": confusion_matrix,
    "learning": learning_curves,
    "sentences": sentence_lengths,
    "tokens": token_statistics,
}


def draw_figures(records: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Draw what the records allow, each for a light page (NAME.png) and for a dark one (NAME-dark.png).

    Returns name -> the light one.
    """
    drawn: dict[str, Path] = {}
    for ending, style in (("", None), ("-dark", DARK)):
        with plt.rc_context(style):
            for name, draw in FIGURES.items():
                if draw(records, folder / f"{name}{ending}.png") is not None:
                    drawn.setdefault(name, folder / f"{name}.png")
            for name in DRAWINGS if drawn else ():
                drawn.setdefault(name, folder / f"{name}.png")
                _save(DRAWINGS[name](), folder / f"{name}{ending}.png")
    return drawn
