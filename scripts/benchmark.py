"""Time BERT, MobileBERT and the sped-up MobileBERT on the same texts, one by one, in turns, on this machine's CPU.

    python scripts/benchmark.py --config recipes/tiny.yaml --task livedoor
    python scripts/benchmark.py compare A/predictions-seed-0.json B/predictions-seed-0.json

Reads WORK_DIR/finetuned/TASK, WORK_DIR/compressed/TASK/card and, if there is one, WORK_DIR/finetuned/TASK-bert;
without it BERT is of base size with random weights, timed and not scored. Writes WORK_DIR/speed/TASK: items.json with
every single time. Scores and training times come from the folders' records. `compare` times nothing: it says whether
two models' answers to the same test part differ by more than chance.
"""

from __future__ import annotations

import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, BertConfig

from mobilebert_ja.comparison import compare_command
from mobilebert_ja.compression import load_compressed
from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import require_file, require_folder, write_json
from mobilebert_ja.finetuned import FinishedRuns, TaskModel, describe, load_finetuned, read_runs, require_labels
from mobilebert_ja.latency import Timing, time_one_by_one
from mobilebert_ja.progress import progress_bar
from mobilebert_ja.records import Stage, fingerprint
from mobilebert_ja.sample import resolve_data_dir
from mobilebert_ja.settings import BenchmarkSettings, parse_settings
from mobilebert_ja.tasks import TASKS, Task, data_file, load_task
from mobilebert_ja.tasks.predictor import LogitsOf


@dataclass(frozen=True)
class Contender:
    """A model to time, with what is known of it; `runs` is None for the BERT of random weights."""

    model: TaskModel
    runs: FinishedRuns | None

    def facts(self, timing: Timing) -> dict[str, Any]:
        """Its part of the record."""
        known = self.runs.metrics if self.runs is not None else {}
        return {
            "model": self.model.description,
            "trained": self.runs is not None,
            "pretrained": known.get("pretrained"),
            "score": known.get("mean"),
            "score_std": known.get("std"),
            "train_seconds": known.get("train_seconds"),
            "bytes": self.model.bytes,
            "median_ms": round(timing.median_ms, 4),
            "p90_ms": round(timing.p90_ms, 4),
            "seconds": [round(seconds, 6) for seconds in timing.seconds],
            "parameters": self.model.parameters,
        }


def untrained_bert(like: TaskModel, vocab_size: int, seed: int) -> TaskModel:
    """BERT-base as cl-tohoku's (12 layers of width 768), with random weights and the tokenizer of `like`.

    What a model call costs depends on the structure and the length of the text, not on the weights' values.
    """
    auto: Any = AutoModelForTokenClassification if like.task == "ner" else AutoModelForSequenceClassification
    torch.manual_seed(seed)
    model = auto.from_config(
        BertConfig(vocab_size=vocab_size, num_labels=len(like.labels)), attn_implementation="sdpa", dtype=torch.float32
    )
    parameters = sum(each.numel() for each in model.parameters())
    return TaskModel(
        LogitsOf(model), like.labels, like.folder, like.task, like.max_seq_length, describe(model), parameters,
        4 * parameters,
    )  # fmt: skip


def spread_subset(count: int, size: int, seed: int) -> list[int]:
    """`size` of the numbers 0 ... count - 1, evenly spread from a random start, in order; all if size is 0 or more."""
    if not 0 < size < count:
        return list(range(count))
    start = random.Random(seed).random()
    return [int((place + start) * count / size) for place in range(size)]


def speedup(baseline: Timing, timing: Timing) -> dict[str, Any]:
    """How many times as fast as the baseline, in each repetition and in the median."""
    ratios = [theirs / mine for theirs, mine in zip(baseline.seconds, timing.seconds, strict=True)]
    return {"median": round(statistics.median(ratios), 3), "runs": [round(ratio, 3) for ratio in ratios]}


def table(contenders: dict[str, Contender], timings: dict[str, Timing], metric: str) -> str:
    """The results for a terminal."""
    heads = ["model", metric, "training s", "all items s", "ms an item", "MB", "times as fast"]
    rows = [heads]
    for name, contender in contenders.items():
        timing = timings[name]
        facts = contender.facts(timing)
        rows.append(
            [
                name if facts["trained"] else f"{name} (untrained)",
                "-" if facts["score"] is None else f"{facts['score']:.2%}",
                "-" if facts["train_seconds"] is None else f"{facts['train_seconds']:.1f}",
                f"{timing.median_seconds:.2f}",
                f"{timing.median_ms:.2f}",
                f"{facts['bytes'] / 1e6:.1f}",
                f"{speedup(timings['bert'], timing)['median']:.2f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def check_numbers(settings: BenchmarkSettings) -> None:
    """Raise `UserError` for counts that make no sense."""
    for name, least in {"repetitions": 1, "num_threads": 1, "max_items": 0}.items():
        if getattr(settings, name) < least:
            raise UserError(f"--{name} must be at least {least}, not {getattr(settings, name)}.")


def require_same_origin(runs: dict[str, FinishedRuns], places: dict[str, Path]) -> None:
    """Raise `UserError` unless all scores are of one test part and the sped-up model was made from the MobileBERT."""
    ours = runs["mobilebert"].split_seed
    if "bert" in runs and runs["bert"].metrics and runs["bert"].split_seed != ours:
        raise UserError(
            f"{places['bert']} was split with --split_seed {runs['bert'].split_seed}, {places['mobilebert']} with "
            f"{ours}; their scores are of different texts."
        )
    source = runs["compressed"].inputs.get("model_name_or_path")
    if source is not None and source != fingerprint(places["mobilebert"]):
        raise UserError(
            f"{places['compressed']} was made from another model than {places['mobilebert']}; "
            "compress.py --overwrite makes it anew."
        )


def load_contenders(
    settings: BenchmarkSettings, places: dict[str, Path], runs: dict[str, FinishedRuns], task: Task
) -> dict[str, Contender]:
    """The three contenders, loaded; each with the first seed's model."""
    length = runs["mobilebert"].max_seq_length
    model, mobilebert = load_finetuned(places["mobilebert"], task.name, length)
    if "bert" in places:
        bert = Contender(load_finetuned(places["bert"], task.name, runs["bert"].max_seq_length)[1], runs["bert"])
    else:
        bert = Contender(untrained_bert(mobilebert, model.config.vocab_size, settings.seed), None)
    contenders = {
        "bert": bert,
        "mobilebert": Contender(mobilebert, runs["mobilebert"]),
        "compressed": Contender(load_compressed(places["compressed"]), runs["compressed"]),
    }
    for contender in contenders.values():
        require_labels(contender.model.labels, task, contender.model.folder)
    return contenders


@exit_on_user_error
def main() -> None:
    if sys.argv[1:2] == ["compare"]:
        return compare_command(sys.argv[2:])
    settings = parse_settings(BenchmarkSettings, __doc__, "benchmark_{task}", task=list(TASKS))
    check_numbers(settings)
    work = Path(settings.work_dir)
    bert = Path(settings.bert or work / "finetuned" / f"{settings.task}-bert")
    places = {
        **({"bert": bert} if settings.bert or bert.exists() else {}),
        "mobilebert": Path(settings.mobilebert or work / "finetuned" / settings.task),
        "compressed": Path(settings.compressed or work / "compressed" / settings.task / "card"),
    }
    makers = {"bert": "finetune.py --random_weights bert", "mobilebert": "finetune.py", "compressed": "compress.py"}
    for name, place in places.items():
        require_folder(place, f"{makers[name]} --task {settings.task} makes it.")
    data = require_file(data_file(settings.task, resolve_data_dir(settings)))
    runs = {name: read_runs(place, settings.task, data, makers[name]) for name, place in places.items()}
    require_same_origin(runs, places)
    output = Path(settings.output_dir or work / "speed" / settings.task)
    stage = Stage(
        f"speed_{settings.task}", vars(settings), output, {**places, "data_dir": data}, Path(str(settings.records_dir))
    )
    if stage.is_done(settings.overwrite):
        return
    task = load_task(settings.task, data.parents[1], runs["mobilebert"].split_seed)
    contenders = load_contenders(settings, places, runs, task)
    chosen = spread_subset(len(task.test), settings.max_items, settings.seed)
    texts = [task.test[place].text for place in chosen]
    stage.begin()
    predictors = {name: contender.model.predictor() for name, contender in contenders.items()}
    bar = progress_bar(total=len(texts) * settings.repetitions, desc="timing", unit="text", leave=False)
    with bar:
        timings = time_one_by_one(
            {name: predictor.predict_one for name, predictor in predictors.items()}, texts, settings.repetitions,
            settings.num_threads, seed=settings.seed, after_item=bar.update,
        )  # fmt: skip
    tokens = [len(predictors["mobilebert"].row(text).ids) for text in texts]
    write_json(
        stage.folder / "items.json",
        {
            "items": chosen,
            "tokens": tokens,
            "milliseconds": {
                name: [[round(each, 4) for each in repetition] for repetition in timing.milliseconds]
                for name, timing in timings.items()
            },
        },
    )
    stage.finish(
        {
            "task": task.name,
            "metric": task.metric,
            "items": len(texts),
            "mean_tokens": round(statistics.fmean(tokens), 2),
            "repetitions": settings.repetitions,
            "num_threads": settings.num_threads,
            "contenders": {name: contender.facts(timings[name]) for name, contender in contenders.items()},
            "speedup": {name: speedup(timings["bert"], timings[name]) for name in ("mobilebert", "compressed")},
        }
    )
    threads = "1 thread" if settings.num_threads == 1 else f"{settings.num_threads} threads"
    print(f"{settings.task}: {len(texts)} texts one by one, {settings.repetitions} times, {threads}")
    print(table(contenders, timings, task.metric))


if __name__ == "__main__":
    main()
