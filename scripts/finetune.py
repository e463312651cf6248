"""Fine-tune a model on a task, once per seed, and score each run on the test part.

    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task livedoor
    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task ner --random_weights bert
    accelerate launch scripts/finetune.py --task classification --train_file reviews.csv
    accelerate launch scripts/finetune.py --task entities --train_file people.jsonl
    accelerate launch scripts/finetune.py --task jnli --data_dir JGLUE/datasets

Reads WORK_DIR/student (or --model_name_or_path: a folder or a Hub name of any encoder whose tokenizer tells where its
tokens stand) and DATA_DIR, or your own --train_file (--task ner with it is --task entities in the recipe's section of
ner). For JGLUE (jsts, jnli, jcommonsenseqa, jsquad) it reads DATA_DIR/TASK*/train-*.json and valid-*.json, without
--data_dir the Hub's copy. Writes WORK_DIR/finetuned/TASK:
the first seed's model, seed-N/ with the others, and predictions-seed-N.json. With --random_weights the structure alone
is used, for comparison; bert goes to TASK-bert, mobilebert to TASK-random. Interrupted, it goes on where it was.

    accelerate launch scripts/finetune.py --task ner --teacher work/large,crf --unlabelled_file sentences.txt
    accelerate launch scripts/finetune.py --task ner --teacher_file answers.jsonl

learns beside the labelled examples what teachers say of texts that nobody labelled (silver answers): fine-tuned
models, the classical ones, or whoever wrote the file; mobilebert_ja/tasks/silver.py shows its form. The teachers are
asked once; WORK_DIR/silver/TASK-.../answers.jsonl keeps what they say, to be read and corrected. Writes
WORK_DIR/finetuned/TASK-silver.

    python scripts/finetune.py --task livedoor --rescore true

answers the test part anew with the models of a finished folder and scores them anew, after the metrics or the answers'
file have changed; the settings are those that the folder was made with.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

import torch

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import read_json
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.classical import classical_score, comparison
from mobilebert_ja.finetuning.modelling.heads import check_tokenizer, model_config, needs_new_head, require_student
from mobilebert_ja.finetuning.rescore import rescore
from mobilebert_ja.finetuning.run import Job, choose_decoding, run_seed, usual_batch_size, warn_of_losses
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.labelling.silver import silver_set
from mobilebert_ja.labelling.teachers import tell_of_start
from mobilebert_ja.plans import finetuning_folder, finetuning_stage
from mobilebert_ja.settings import FinetuneSettings, parse_settings
from mobilebert_ja.tasks import OWN_TASKS, TASK_KINDS, Kind, task_source
from mobilebert_ja.tasks.metrics import mean_and_std
from mobilebert_ja.tokenization.encoders import make_encoder
from mobilebert_ja.tokenization.folders import load_tokenizer
from mobilebert_ja.training.accelerator import make_accelerator
from mobilebert_ja.training.checkpoints import Checkpoints


def check_decoding(settings: FinetuneSettings) -> None:
    """Raise `UserError` for a choice of tags where the task has none."""
    decoded = [task for task, kind in TASK_KINDS.items() if "decoding" in KINDS[kind].settings]
    if settings.task not in decoded and settings.decoding not in ("plain", FinetuneSettings().decoding):
        raise UserError(f"--decoding {settings.decoding} goes with --task {' or '.join(decoded)}.")


@exit_on_user_error
def main() -> None:
    settings = parse_settings(FinetuneSettings, __doc__)
    check_decoding(settings)
    output = finetuning_folder(settings)
    accelerator = make_accelerator(settings.gradient_accumulation_steps)
    if settings.rescore:
        if accelerator.is_main_process:
            rescore(output, settings, accelerator)
        accelerator.wait_for_everyone()
        return
    with accelerator.main_process_first():
        stage = finetuning_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    source = task_source(vars(settings), lambda: resolve_data_dir(settings))
    task = source.load(settings.split_seed)
    require_student(settings)
    tokenizer = load_tokenizer(str(settings.tokenizer or settings.model_name_or_path))
    encoder = make_encoder(tokenizer)
    check_tokenizer(tokenizer, encoder, [example.text for example in task.train[:100]])
    config = model_config(settings, encoder.entries)
    if needs_new_head(settings, config, task):
        accelerator.print(f"{settings.model_name_or_path} is fine-tuned for other labels; its head starts at random")
    silver = silver_set(settings, task, source.files, accelerator)
    answers = silver.answers if silver else ()
    size = settings.per_device_train_batch_size or usual_batch_size(task.kind, len(task.train) + len(answers))
    settings = dataclasses.replace(settings, per_device_train_batch_size=size)  # the stage knows what was asked for
    job = Job(accelerator, settings, task, config, tokenizer, encoder, answers)
    if accelerator.is_main_process:
        task.evaluate_metric()  # what can fail does so before training
        tell_of_start(settings, source.files)
        warn_of_losses(job)
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    choice, decoded = None, task.kind is Kind.ENTITIES
    if decoded and settings.decoding == "auto":
        choice = choose_decoding(job, stage.folder)
    decoding = choice["chosen"] if choice else settings.decoding if decoded else "plain"
    results: list[Path] = []
    for seed in range(settings.seed, settings.seed + settings.num_seeds):
        folder = stage.folder if not results else stage.folder / f"seed-{seed}"
        results.append(stage.folder / f"predictions-seed-{seed}.json")
        if results[-1].is_file():
            accelerator.print(f"seed {seed} is there already")
        else:
            run_seed(job.with_seed(seed), decoding, folder, results[-1])
        Checkpoints(folder, accelerator).remove()
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        runs = [read_json(result)["run"] for result in results]
        parameters = {run.pop("parameters") for run in runs}.pop()
        mean, std = mean_and_std([run["score"] for run in runs])
        seconds = sum(run["train_seconds"] for run in runs) / len(runs)
        classical = classical_score(task) if settings.task in OWN_TASKS else None
        stage.finish(
            {
                "task": task.name,
                "metric": task.metric,
                "train_size": len(task.train),
                "test_size": len(task.test),
                "num_labels": len(task.labels),
                "parameters": parameters,
                "batch_size": size,
                "precision": accelerator.mixed_precision,
                "num_threads": torch.get_num_threads(),
                "runs": runs,
                "mean": mean,
                "std": std,
                "train_seconds": round(seconds, 2),
                "bytes": (stage.folder / "model.safetensors").stat().st_size,
                "pretrained": not settings.random_weights,
                **({"decoding": decoding} if decoded else {}),
                **({"choice": choice} if choice else {}),
                **({"silver": silver.facts} if silver else {}),
                **({"classical": classical} if classical else {}),
            }
        )
        spread = "" if std is None else f" ± {std:.2%}"
        seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
        print(f"{output.name}: {task.metric} {mean:.2%}{spread} over {seeds}, {seconds:.1f} s of training each")
        if classical:
            print(comparison(classical, task.metric, mean))
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
