"""What `measure.py models` reports: times of all contenders in turn, ratios, scores, and the table of them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.measuring.latency import Timing, time_one_by_one
from mobilebert_ja.measuring.models.contenders import INT8, Contender
from mobilebert_ja.measuring.runs import tabulate
from mobilebert_ja.measuring.turns import round_ratios
from mobilebert_ja.tasks import Task
from mobilebert_ja.tokenization.encoder import FastEncoder

BASELINES = ("bert", "bert_card", "bert_onnx")
TOKENIZER = "tokenizer"  # timed in turn with the models, and no contender


def spread_subset(count: int, size: int, seed: int) -> list[int]:
    """`size` of the numbers 0 ... count - 1, evenly spread from a random start, in order; all if size is 0 or more."""
    if not 0 < size < count:
        return list(range(count))
    start = random.Random(seed).random()
    return [int((index + start) * count / size) for index in range(size)]


def times_and_answers(
    contenders: Mapping[str, Contender],
    texts: Sequence[str],
    repetitions: int,
    num_threads: int,
    seed: int,
    turn: int,
    beside: Mapping[str, Callable[[str], Any]] | None = None,
) -> tuple[dict[str, Timing], dict[str, list[Any]]]:
    """Times of every contender on the texts, and its answers to them as a task scores them.

    Args:
        repetitions, num_threads, seed, turn: see `time_one_by_one`.
        beside: what is timed in turn with them, and gives no answers.
    """
    kept: dict[str, dict[str, Any]] = {name: {} for name in contenders}

    def keeping(name: str) -> Callable[[str], None]:
        predict_one, answers = contenders[name].predictor(num_threads), kept[name]

        def answer(text: str) -> None:
            answers[text] = predict_one(text)

        return answer

    timed: dict[str, Callable[[str], Any]] = {name: keeping(name) for name in contenders}
    threads = "1 thread" if num_threads == 1 else f"{num_threads} threads"
    with progress_bar(total=len(texts) * repetitions, desc=threads, unit="text", leave=False) as bar:
        timings = time_one_by_one(
            {**timed, **(beside or {})}, texts, repetitions, num_threads, seed=seed, after_item=bar.update, turn=turn
        )
    answers = {
        name: [contender.task_answer(kept[name][text]) for text in texts] for name, contender in contenders.items()
    }
    return timings, answers


def time_all(
    contenders: dict[str, Contender],
    task: Task,
    encoder: FastEncoder,
    repetitions: int,
    num_threads: int,
    seed: int,
    turn: int,
) -> tuple[dict[str, Timing], dict[str, list[Any]]]:
    """Times of every contender on the test part, and of the tokenizer alone; and the contenders' answers to it.

    repetitions, num_threads, seed, turn: see `time_one_by_one`.
    """
    texts = [example.text for example in task.test]
    return times_and_answers(
        contenders, texts, repetitions, num_threads, seed, turn, beside={TOKENIZER: encoder.encode}
    )


def speedup(baseline: Timing, timing: Timing) -> dict[str, Any]:
    """How many times as fast as the baseline, in each repetition and in the median."""
    ratios = round_ratios(baseline.seconds, timing.seconds)
    return {"median": round(statistics.median(ratios), 3), "runs": [round(ratio, 3) for ratio in ratios]}


def by_baseline(timings: dict[str, Timing]) -> dict[str, dict[str, Any]]:
    """baseline -> contender -> how many times as fast; the alternatives in int8 are baselines too."""
    names = [name for name in timings if name != TOKENIZER]
    bases = [*BASELINES, *(name for name in names if name.endswith(INT8))]
    return {base: {name: speedup(timings[base], timings[name]) for name in names if name != base} for base in bases}


def timing_facts(timing: Timing) -> dict[str, Any]:
    """What the record says of one contender's times."""
    return {
        "median_ms": round(timing.median_ms, 4),
        "p10_ms": round(timing.p10_ms, 4),
        "p90_ms": round(timing.p90_ms, 4),
        "seconds": [round(seconds, 6) for seconds in timing.seconds],
    }


def score_facts(contenders: dict[str, Contender], answers: dict[str, list[Any]], task: Task) -> dict[str, Any]:
    """Score of each on the timed texts, its difference from the float32 model it comes from, and how many answers
    are the same; None where the weights are random."""
    result: dict[str, Any] = {}
    for name, contender in contenders.items():
        original = answers[contender.like]
        same = sum(mine == theirs for mine, theirs in zip(answers[name], original, strict=True))
        score, before = (task.score(each)[task.metric] for each in (answers[name], original))
        result[name] = {
            "items_score": score if contender.trained else None,
            "items_score_difference": score - before if contender.trained else None,
            "items_agreement": same / len(original),
        }
    return result


def table(contenders: dict[str, Contender], facts: dict[str, dict[str, Any]], timings: dict[str, Timing]) -> str:
    """The results for a terminal."""
    columns = {
        "score": "{score:.2%}",
        "of the items": "{items_score:.2%}",
        "ms per item": "{median_ms:.2f}",
        "p10": "{p10_ms:.2f}",
        "p90": "{p90_ms:.2f}",
        "all items s": "{all_seconds:.2f}",
        "MB": "{megabytes:.1f}",
        "start s": "{start:.2f}",
        "peak MiB": "{peak:.0f}",
        **{f"x {base}": f"{{{base}:.2f}}" for base in BASELINES},
    }
    rows = {}
    for name, contender in contenders.items():
        each, timing = facts[name], timings[name]
        rows[name if contender.trained else f"{name} (untrained)"] = {
            **each,
            **timing_facts(timing),
            "all_seconds": timing.median_seconds,
            "megabytes": contender.bytes / 1e6,
            "start": statistics.median(each["start_seconds"]) if each["start_seconds"] else None,
            "peak": statistics.median(each["start_peak_mib"]) if each["start_peak_mib"] else None,
            **{base: speedup(timings[base], timing)["median"] for base in BASELINES},
        }
    return tabulate(rows, columns, "model")
