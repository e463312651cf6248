"""Time per text of BERT and MobileBERT, as they are and sped up, in turns, on this machine's CPU.

    python scripts/measure.py models --config recipes/tiny.yaml --task livedoor

Reads WORK_DIR/finetuned/TASK, WORK_DIR/compressed/TASK/card, onnx and fast if they are there, and
WORK_DIR/finetuned/TASK-bert; without it BERT is of base size with random weights, timed and not scored. BERT is given
the card's treatment and the export to int8 too; --alternatives adds encoders that one could pick instead. Writes
WORK_DIR/speed/TASK (on a processor without VNNI instructions TASK-avx2): items.json with every single time. Scores and
training times come from the folders' records; "items_score" is of the texts that were timed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.finetuning.folder import FinishedRuns, read_runs
from mobilebert_ja.measuring.models.alternatives import add_alternatives, named_alternatives
from mobilebert_ja.measuring.models.cold_start import measure
from mobilebert_ja.measuring.models.contenders import Contender, add_rivals, load_contenders
from mobilebert_ja.measuring.models.speed import (
    TOKENIZER,
    by_baseline,
    score_facts,
    spread_subset,
    table,
    time_all,
    timing_facts,
)
from mobilebert_ja.plans import SPEED_MAKERS, speed_stage
from mobilebert_ja.settings import BenchmarkSettings, parse_settings
from mobilebert_ja.tasks import load_task
from mobilebert_ja.tokenization.encoder import FastEncoder


def thread_counts(named: str) -> list[int]:
    """Numbers of threads from a list such as "1,all", each once. Raises `UserError` for anything else."""
    cores = len(os.sched_getaffinity(0))
    counts = []
    for part in named.split(","):
        word = part.strip()
        if word != "all" and not (word.isdecimal() and int(word) > 0):
            raise UserError(f"--num_threads must be numbers of at least 1, or all, comma separated, not '{named}'.")
        counts.append(cores if word == "all" else int(word))
    return list(dict.fromkeys(counts))


def require_same_origin(runs: dict[str, FinishedRuns], folders: dict[str, Path]) -> None:
    """Raise `UserError` unless all scores are of one test part and sped-up models were made from the MobileBERT."""
    ours = runs["mobilebert"].split_seed
    if "bert" in runs and runs["bert"].metrics and runs["bert"].split_seed != ours:
        raise UserError(
            f"{folders['bert']} was split with --split_seed {runs['bert'].split_seed}, {folders['mobilebert']} with "
            f"{ours}; their scores are of different texts."
        )
    for name in ("card", "onnx", "fast"):
        source = runs[name].inputs.get("model_name_or_path") if name in runs else None
        if source is not None and source != fingerprint(folders["mobilebert"]):
            raise UserError(
                f"{folders[name]} was made from another model than {folders['mobilebert']}; "
                f"{SPEED_MAKERS[name]} --overwrite makes it anew."
            )


def start_facts(contender: Contender, task: str, max_seq_length: int, starts: int) -> dict[str, Any]:
    """Load time to the first answer and peak memory, of a fresh process each."""
    cold = measure(contender.kind, contender.folder, task, max_seq_length, starts)
    return {"start_seconds": cold.seconds, "start_peak_mib": cold.peak_mib}


def main() -> None:
    settings = parse_settings(BenchmarkSettings, __doc__)
    counts = thread_counts(settings.num_threads)
    alternatives = named_alternatives(settings.alternatives)
    stage = speed_stage(settings)
    data = stage.inputs["data_dir"]
    folders = {name: folder for name, folder in stage.inputs.items() if name != "data_dir"}
    runs = {name: read_runs(folder, settings.task, data, SPEED_MAKERS[name]) for name, folder in folders.items()}
    require_same_origin(runs, folders)
    if stage.is_done(settings.overwrite):
        return
    task = load_task(settings.task, data.parents[1], runs["mobilebert"].split_seed)
    contenders = load_contenders(folders, runs, task)
    stage.begin()
    made = stage.folder / "made"  # for the comparison; not kept
    contenders = add_rivals(contenders, made, settings.seed)
    contenders = add_alternatives(contenders, alternatives, made, settings.seed)
    chosen = spread_subset(len(task.test), settings.max_items, settings.seed)
    timed_task = dataclasses.replace(task, test=[task.test[index] for index in chosen])
    encoder = FastEncoder(contenders["mobilebert"].folder)
    timings, answers = {}, {}
    for count in counts:
        timings[count], answers[count] = time_all(
            contenders, timed_task, encoder, settings.repetitions, count, settings.seed, settings.turn
        )
    cold_indices = spread_subset(len(chosen), settings.cold_items, settings.seed) if settings.cold_items else []
    cold_task = dataclasses.replace(timed_task, test=[timed_task.test[index] for index in cold_indices])
    cold = time_all(contenders, cold_task, encoder, 1, counts[0], settings.seed, 1)[0] if cold_indices else {}
    length = runs["mobilebert"].max_seq_length
    tokens = [min(len(encoder.ids(example.text)) + 2, length) for example in timed_task.test]
    first = timings[counts[0]]
    scores = score_facts(contenders, answers[counts[0]], timed_task)
    facts = {
        name: {
            **contender.facts(),
            **timing_facts(first[name]),
            **scores[name],
            **start_facts(contender, task.name, length, settings.starts),
            **({"cold_median_ms": timing_facts(cold[name])["median_ms"]} if cold else {}),
        }
        for name, contender in contenders.items()
    }
    shutil.rmtree(made)
    milliseconds = {
        count: {
            name: [[round(each, 4) for each in repetition] for repetition in timing.milliseconds]
            for name, timing in timings[count].items()
        }
        for count in counts
    }
    write_json(
        stage.folder / "items.json",
        {
            "items": chosen,
            "tokens": tokens,
            "milliseconds": milliseconds[counts[0]],
            "cold_items": [chosen[index] for index in cold_indices],
            "cold_milliseconds": {
                name: [round(each, 4) for each in timing.milliseconds[0]] for name, timing in cold.items()
            },
            "milliseconds_by_threads": {str(count): milliseconds[count] for count in counts[1:]},
        },
    )
    ratios = {count: by_baseline(timings[count]) for count in counts}
    stage.finish(
        {
            "task": task.name,
            "metric": task.metric,
            "items": len(chosen),
            "mean_tokens": round(statistics.fmean(tokens), 2),
            "repetitions": settings.repetitions,
            "turn": settings.turn,
            "cold_items": len(cold_indices),
            "num_threads": counts[0],
            "contenders": facts,
            "tokenizer": timing_facts(first[TOKENIZER]),
            "speedup": ratios[counts[0]]["bert"],
            "speedup_over": {base: each for base, each in ratios[counts[0]].items() if base != "bert"},
            "by_threads": {
                str(count): {
                    "contenders": {name: timing_facts(timing) for name, timing in timings[count].items()},
                    "speedup_over": ratios[count],
                }
                for count in counts
            },
        }
    )
    for count in counts:
        threads = "1 thread" if count == 1 else f"{count} threads"
        print(f"{settings.task}: {len(chosen)} texts one by one, {settings.repetitions} times, {threads}")
        print(table(contenders, facts, timings[count]))
    print(f"tokenizer alone: {first[TOKENIZER].median_ms:.3f} ms per item")
