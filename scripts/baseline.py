"""Train a classical model on a task's training part and score it on the same test part as finetune.py.

    python scripts/baseline.py --task livedoor
    python scripts/baseline.py --task entities --train_file people.jsonl

Reads DATA_DIR or your own --train_file, writes WORK_DIR/finetuned/TASK-METHOD: predictions-seed-N.json and a record
as finetune.py does, so that `measure.py compare` takes both. Methods: svm (character n-grams, for texts with a
class) and crf (MeCab words, for entities). Seconds and minutes on one core.
"""

from __future__ import annotations

import time

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.answers import answer_and_score, write_answers
from mobilebert_ja.finetuning.classical import CrfSettings, Trained, require_library, train_crf, train_svm
from mobilebert_ja.plans import baseline_stage
from mobilebert_ja.settings import BaselineSettings, parse_settings
from mobilebert_ja.tasks import Task, task_source
from mobilebert_ja.tasks.intervals import score_intervals

LIBRARIES = {"svm": {"sklearn": "scikit-learn"}, "crf": {"pycrfsuite": "python-crfsuite"}}


def train(settings: BaselineSettings, task: Task) -> Trained:
    """The method at work on the training part."""
    if settings.method == "svm":
        return train_svm(task, settings.svm_words, settings.svm_c, settings.seed)
    return train_crf(task, CrfSettings(settings.crf_l1, settings.crf_l2, settings.crf_iterations))


@exit_on_user_error
def main() -> None:
    settings = parse_settings(BaselineSettings, __doc__)
    stage = baseline_stage(settings)
    for library in LIBRARIES[settings.method].items():
        require_library(*library)
    if stage.is_done(settings.overwrite):
        return
    task = task_source(vars(settings), lambda: resolve_data_dir(settings)).load(settings.split_seed)
    stage.begin()
    print(f"{stage.name}: {len(task.train)} training items, {len(task.test)} test items", flush=True)
    begun = time.perf_counter()
    model = train(settings, task)
    seconds = round(time.perf_counter() - begun, 2)
    answered = answer_and_score(
        task, lambda examples, _: model.answer([example.text for example in examples]), task.score
    )
    run = {
        "seed": settings.seed,
        "score": answered.details[task.metric],
        "intervals": score_intervals(task.metric, answered.predictions, task.references()),
        "train_seconds": seconds,
        "details": answered.details,
    }
    write_answers(stage.folder / f"predictions-seed-{settings.seed}.json", run, task, answered)
    stage.finish(
        {
            "task": task.name,
            "metric": task.metric,
            "method": settings.method,
            "train_size": len(task.train),
            "test_size": len(task.test),
            "num_labels": len(task.labels),
            "parameters": model.parameters,
            "runs": [run],
            "mean": run["score"],
            "std": None,
            "train_seconds": seconds,
            "pretrained": False,
        }
    )
    low, high = run["intervals"][task.metric]
    print(f"{stage.name}: {task.metric} {run['score']:.2%} [{low:.2%}, {high:.2%}], {seconds:.1f} s of training")


if __name__ == "__main__":
    main()
