"""Fine-tuning on a task: one training run, its answers and scores, and the choice of how entities are decoded."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import PretrainedConfig

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.finetuning.answers import AnswerFunction, answer_and_score, write_answers
from mobilebert_ja.finetuning.lessons import Lessons, mixed_lessons
from mobilebert_ja.finetuning.modelling.architecture import tells_segments
from mobilebert_ja.finetuning.modelling.crf import LinearChainCRF, crf_loss
from mobilebert_ja.finetuning.modelling.forms import FORMS, Reader, training_rows
from mobilebert_ja.finetuning.modelling.heads import make_model
from mobilebert_ja.finetuning.modelling.rows import (
    MakeArrays,
    batch_function,
    batches_per_epoch,
    spans_lost_in_tags,
    without_segments,
)
from mobilebert_ja.finetuning.predictor import LogitsOf, Predictor
from mobilebert_ja.inference.decoding import DECODINGS, Decoder, constrained_decoder
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import OWN_TASKS, Example, Task
from mobilebert_ja.tasks.intervals import score_intervals
from mobilebert_ja.tasks.parts import held_out_of_training
from mobilebert_ja.tasks.silver import Silver
from mobilebert_ja.tokenization.frame import TextEncoder
from mobilebert_ja.training.checkpoints import TrainState
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_adamw

_FEW_ROWS, _BATCH_OF_FEW, _BATCH = 1000, 8, 32


def usual_batch_size(kind: Kind, rows: int) -> int:
    """Rows per batch where nobody has said it.

    Few rows with a class each are too few steps in large batches; of entities, of which a row has a label per token,
    small batches are worse (records/trials_few_rows.json, records/trials_few_rows_entities.json).
    """
    return _BATCH_OF_FEW if kind is Kind.CLASSES and rows < _FEW_ROWS else _BATCH


@dataclass(frozen=True)
class Job:
    """What all runs of one command share.

    Attributes:
        settings: `seed` is the first run's.
        silver: what teachers say of texts that nobody labelled, to be learned with the training part.
    """

    accelerator: Accelerator
    settings: FinetuneSettings
    task: Task
    config: PretrainedConfig
    tokenizer: Any
    encoder: TextEncoder
    silver: Sequence[Silver] = ()

    def with_seed(self, seed: int) -> Job:
        """The same with another seed."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, seed=seed))

    @property
    def reader(self) -> Reader:
        """What turns the task's inputs into rows."""
        return Reader(self.encoder, self.settings.max_seq_length, self.settings.doc_stride)

    def answers_of(self, model: Any, decoder: Decoder | None = None) -> AnswerFunction:
        """A trained model as a function from examples to answers, in batches."""
        settings, task = self.settings, self.task
        predictor = Predictor(
            LogitsOf(model, FORMS[task.kind].ends),
            self.encoder,
            task.kind,
            task.labels,
            settings.max_seq_length,
            decoder,
            settings.doc_stride,
        )
        size = settings.per_device_eval_batch_size
        return lambda examples, what: predictor.predict([each.input for each in examples], size, what)


def lessons_of(job: Job, make_arrays: MakeArrays, crf: bool) -> Lessons:
    """The training part in batches, and with it what teachers say, if there are any."""
    settings, task = job.settings, job.task
    size, pad_id = settings.per_device_train_batch_size, job.encoder.frame.pad_id
    rows = training_rows(task, job.reader)
    if job.silver:
        return mixed_lessons(rows, job.silver, task, job.reader, settings, pad_id, make_arrays, crf)
    batch = batch_function(rows, size, settings.seed, pad_id, make_arrays)
    return Lessons(batch, batches_per_epoch(len(rows), size), crf_loss if crf else FORMS[task.kind].loss)


def train(job: Job, folder: Path, describe: str, crf: bool) -> tuple[Any, TrainState]:
    """Train on the training part with `job.settings.seed`. With `crf` the model has a `LinearChainCRF` as `crf`."""
    settings = job.settings
    model = make_model(settings, job.config, job.task)
    if crf:
        model.crf = LinearChainCRF(job.task.labels, settings.crf_gain)
    make_arrays = FORMS[job.task.kind].collate
    lessons = lessons_of(job, make_arrays if tells_segments(model) else without_segments(make_arrays), crf)
    per_step = settings.gradient_accumulation_steps * job.accelerator.num_processes
    steps = math.ceil(settings.num_train_epochs * lessons.per_epoch / per_step)
    model.train()
    state = run_training(
        job.accelerator,
        model,
        make_adamw(model, settings),
        lessons.batch,
        lessons.loss,
        settings,
        max_steps=steps,
        warmup_steps=settings.warmup_steps or round(settings.warmup_ratio * steps),
        folder=folder,
        describe=describe,
    )
    return model, state


def taken_decoder(model: Any, decoding: str, labels: list[str]) -> Decoder | None:
    """The decoder for a trained model. A CRF is taken off it: what is left is an ordinary model."""
    if decoding == "crf":
        decoder: Decoder = model.crf.decoder()
        del model.crf
        return decoder
    return constrained_decoder(labels) if decoding == "constrained" else None


def choose_decoding(job: Job, folder: Path) -> dict[str, Any]:
    """F1 of each decoding on a part of the training data that is held out for this, and the best one as "chosen".

    A model with and a model without a CRF are trained on the rest, with the first seed. The test part is not looked
    at. The choice is kept in `folder`, so that an interrupted command goes on with the same.

    Raises `UserError` if there are not two different texts.
    """
    result = folder / "choice.json"
    settings, task = job.settings, job.task
    part = held_out_of_training(task, settings.validation_share, settings.split_seed)
    if not part.test:
        raise UserError("--decoding auto needs two different sentences to train on; --decoding plain does without.")
    job = dataclasses.replace(job, task=part)
    scores: dict[str, float] = {}
    for crf in (False, True):
        trial = folder / ("choice-crf" if crf else "choice-tokens")
        kept = trial.with_suffix(".json")
        if not kept.is_file():
            model, _ = train(job, trial, f"{task.name}, {'with' if crf else 'without'} a CRF, for the choice", crf)
            if job.accelerator.is_main_process:
                found = {}
                for decoding in ("crf",) if crf else ("plain", "constrained"):
                    answers = job.answers_of(model, taken_decoder(model, decoding, task.labels))(part.test, "")
                    found[decoding] = job.task.score(answers)[task.metric]
                write_json(kept, found)
                shutil.rmtree(trial, ignore_errors=True)
            job.accelerator.wait_for_everyone()
        scores |= read_json(kept)
    chosen = max(DECODINGS, key=scores.__getitem__)  # the simplest of those that are equal: `max` keeps the first
    if job.accelerator.is_main_process:
        write_json(result, {"chosen": chosen, "f1": scores, "validation_size": len(part.test)})
        shown = ", ".join(f"{name} {score:.2%}" for name, score in scores.items())
        print(f"{task.name}: {chosen} decoding, by {len(part.test)} held-out training sentences ({shown})")
    job.accelerator.wait_for_everyone()
    return read_json(result)


def run_seed(job: Job, decoding: str, folder: Path, result: Path) -> None:
    """Train with `job.settings.seed`, save the model to `folder`, and last, as the sign of completion, `result`.

    Args:
        decoding: one of `DECODINGS`; for other tasks than entities "plain".
    """
    settings, task = job.settings, job.task
    model, state = train(job, folder, f"{task.name}, seed {settings.seed}", decoding == "crf")
    if not job.accelerator.is_main_process:
        return  # the test part is small: one process scores it, the others wait
    decoder = taken_decoder(model, decoding, task.labels)
    answered = answer_and_score(task, job.answers_of(model, decoder), task.score_with_evaluate)
    details = answered.details
    save_model(model.cpu(), job.tokenizer, folder)
    if decoder is not None:
        decoder.save(folder, task.labels)
    seen = len(task.train) * settings.num_train_epochs + round(len(job.silver) * settings.silver_epochs)
    run = {
        "seed": settings.seed,
        "score": details[task.metric],
        "intervals": score_intervals(task.metric, answered.predictions, task.references()),
        "train_seconds": round(state.seconds, 2),
        "examples_per_second": round(seen / state.seconds, 1),
        "steps": state.step,
        "parameters": sum(each.numel() for each in model.parameters()),
        "details": details,
        "history": state.history,
    }
    write_answers(result, run, task, answered)
    print(
        f"{task.name}, seed {settings.seed}: {task.metric} {details[task.metric]:.2%} of {len(task.test)} test items"
    )


def warn_of_losses(job: Job) -> None:
    """Say how many inputs are longer than the model is given, and how many of a user's entities no answer matches."""
    task = job.task
    silver = [Example(answer.text, None) for answer in job.silver]
    for what, examples in (
        ("inputs of the training part", task.train),
        ("inputs of the test part", task.test),
        ("silver texts", silver),
    ):
        truncated = sum(is_truncated(example, job) for example in examples)
        if truncated:
            warn(
                f"{truncated} of {len(examples)} {what} are longer than --max_seq_length "
                f"{job.settings.max_seq_length} tokens and are truncated"
            )
    for part, examples in (("training", task.train), ("test", task.test)):
        if job.settings.task not in OWN_TASKS or task.kind is not Kind.ENTITIES:
            continue
        lost = spans_lost_in_tags(examples, job.encoder)
        if lost:
            warn(
                f"{lost} of {sum(len(example.target) for example in examples)} entities of the {part} part "
                "begin or end within a token; no answer can match them exactly"
            )


def is_truncated(example: Example, job: Job) -> bool:
    """Whether the model is not given all of an example. Contexts and texts with entities are read in windows."""
    return any(row.truncated for row in FORMS[job.task.kind].rows(example.input, job.reader))
