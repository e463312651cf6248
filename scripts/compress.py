"""Speed a fine-tuned model up: set small weights to zero, quantize matrices to int8, trace the graph; score it again.

    python scripts/compress.py --config recipes/tiny.yaml --task livedoor

Reads WORK_DIR/finetuned/TASK and DATA_DIR, writes WORK_DIR/compressed/TASK/card: model.pt, compressed.json and the
tokenizer, for the first seed; the same for the other seeds in seed-N/. The fast model answers the test part one by
one; its answers are compared with those that finetune.py kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilebert_ja.compression import compress, load_compressed, matrices, save_compressed, select_engine
from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import require_folder
from mobilebert_ja.finetuned import (
    FinishedRuns,
    load_finetuned,
    read_runs,
    require_labels,
    stored_answers,
    task_source_of,
)
from mobilebert_ja.metrics import mean_and_std
from mobilebert_ja.progress import progress_bar
from mobilebert_ja.records import Stage
from mobilebert_ja.sample import resolve_data_dir
from mobilebert_ja.settings import CompressSettings, parse_settings
from mobilebert_ja.tasks import TASKS, Task
from mobilebert_ja.tasks.predictor import Predictor


def answers_of(predictor: Predictor, task: Task, describe: str) -> list[Any]:
    """Answers for the test part, one text at a time as in use: int8 activations depend on what shares a batch."""
    texts = [example.text for example in task.test]
    return [predictor.predict_one(text) for text in progress_bar(texts, desc=describe, unit="text", leave=False)]


def compress_seed(
    settings: CompressSettings, task: Task, runs: FinishedRuns, place: int, folder: Path
) -> dict[str, Any]:
    """Speed one seed's model up, save it to `folder`, load it from there and compare it with what it was."""
    seed = runs.seeds[place]
    model, before = load_finetuned(runs.folder_of(place), task.name, runs.max_seq_length)
    require_labels(before.labels, task, before.folder)
    answers_before = stored_answers(runs, place, task)
    if answers_before is None:
        answers_before = answers_of(before.predictor(), task, f"seed {seed}, before")
    traced, sparsity = compress(model, settings.prune_amount, settings.per_channel)
    how = {"prune_amount": settings.prune_amount, "per_channel": settings.per_channel}
    size = save_compressed(traced, before, folder, how)
    answers = answers_of(load_compressed(folder).predictor(), task, f"seed {seed}, after")
    same = sum(mine == theirs for mine, theirs in zip(answers, answers_before, strict=True))
    return {
        "seed": seed,
        "score": task.score(answers)[task.metric],
        "score_before": task.score(answers_before)[task.metric],
        "bytes": size,
        "bytes_before": before.bytes,
        "agreement": same / len(answers),
        "sparsity": sparsity,
        "matrices": len(matrices(model)),
        "matrix_weights": sum(module.weight.numel() for module in matrices(model).values()),
    }


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CompressSettings, __doc__, "compress_{task}", task=list(TASKS))
    if not 0 <= settings.prune_amount < 1:
        raise UserError(f"--prune_amount must be at least 0 and below 1, not {settings.prune_amount}.")
    work = Path(settings.work_dir)
    source = Path(settings.model_name_or_path or work / "finetuned" / settings.task)
    output = Path(settings.output_dir or work / "compressed" / settings.task / "card")
    require_folder(source, f"finetune.py --task {settings.task} makes it.")
    data = task_source_of(source, settings.task, lambda: resolve_data_dir(settings))
    runs = read_runs(source, settings.task, data.main_file, "finetune.py")
    stage = Stage(
        f"compressed_{settings.task}", vars(settings), output,
        {"model_name_or_path": source, **data.files}, Path(str(settings.records_dir)),
    )  # fmt: skip
    if stage.is_done(settings.overwrite):
        return
    engine = select_engine()
    task = data.load(runs.split_seed)
    stage.begin()
    results = [
        compress_seed(
            settings, task, runs, place, stage.folder if place == 0 else stage.folder / f"seed-{runs.seeds[place]}"
        )
        for place in range(len(runs.seeds))
    ]  # fmt: skip
    mean, std = mean_and_std([result["score"] for result in results])
    before, _ = mean_and_std([result["score_before"] for result in results])
    agreement, _ = mean_and_std([result["agreement"] for result in results])
    stage.finish(
        {
            "task": task.name,
            "metric": task.metric,
            "test_size": len(task.test),
            "runs": results,
            "mean": mean,
            "std": std,
            "mean_before": before,
            "bytes": results[0]["bytes"],
            "bytes_before": results[0]["bytes_before"],
            "prune_amount": settings.prune_amount,
            "sparsity": results[0]["sparsity"],
            "matrices": results[0]["matrices"],
            "matrix_weights": results[0]["matrix_weights"],
            "agreement": agreement,
            "per_channel": settings.per_channel,
            "engine": engine,
            "pretrained": runs.metrics.get("pretrained"),
        }
    )
    print(
        f"{output}: {task.metric} {before:.2%} -> {mean:.2%}, {agreement:.1%} of the answers unchanged, "
        f"{results[0]['bytes_before'] / 1e6:.1f} -> {results[0]['bytes'] / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
