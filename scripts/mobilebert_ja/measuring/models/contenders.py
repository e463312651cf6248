"""What `measure.py models` times: BERT and MobileBERT as they were fine-tuned, and each sped up in the same ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, PretrainedConfig

from mobilebert_ja.compression.onnx.export import as_task_answer, export
from mobilebert_ja.compression.torchscript import compress, load_compressed, save_compressed
from mobilebert_ja.finetuning.folder import (
    FinishedRuns,
    TaskModel,
    describe,
    load_finetuned,
    require_labels,
    require_own_structure,
)
from mobilebert_ja.finetuning.modelling.forms import FORMS
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.inference.folder import ONNX, model_path, read_facts, require_unchanged
from mobilebert_ja.measuring.models.cold_start import EAGER, TORCHSCRIPT
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.runtime import load
from mobilebert_ja.tasks import Task
from mobilebert_ja.tokenization.encoder import read_vocabulary

INT8 = "-onnx"  # behind the name of an alternative: its int8 form
CARD_PRUNE_AMOUNT = 0.2  # of the published card, for the BERT that is treated likewise


@dataclass(frozen=True)
class Contender:
    """A model to time, with what is known of it.

    Attributes:
        kind: EAGER (transformers), TORCHSCRIPT or ONNX: what runs it.
        like: the contender in float32 that it was made from; its own name if it is one itself.
        runs: what the record of its folder says; None if nobody has scored it.
        trained: False for the BERT of random weights and what is made from it.
        model: ready to answer with torch; None for ONNX.
    """

    kind: str
    folder: Path
    like: str
    runs: FinishedRuns | None
    trained: bool
    description: str
    parameters: int
    bytes: int
    labels: list[str]
    model: TaskModel | None = None

    def predictor(self, num_threads: int) -> Callable[[str], Any]:
        """A function from a text to its answer, tokenization included; torch's threads are set elsewhere."""
        if self.model is not None:
            return self.model.predictor().predict_one
        return load(self.folder, num_threads).predict_one

    def task_answer(self, answer: Any) -> Any:
        """What the predictor gave, as the task scores it."""
        return answer if self.model is not None else as_task_answer(answer)

    def facts(self) -> dict[str, Any]:
        """Its part of the record, but for what is measured."""
        known = self.runs.metrics if self.runs is not None else {}
        return {
            "model": self.description,
            "runs_with": self.kind,
            "trained": self.trained,
            "pretrained": known.get("pretrained"),
            "score": known.get("mean"),
            "score_std": known.get("std"),
            "train_seconds": known.get("train_seconds"),
            "bytes": self.bytes,
            "parameters": self.parameters,
        }


def _of_torch(
    kind: str, like: str, model: TaskModel, runs: FinishedRuns | None, trained: bool, folder: Path | None = None
) -> Contender:
    return Contender(
        kind,
        folder or model.folder,
        like,
        runs,
        trained,
        model.description,
        model.parameters,
        model.bytes,
        model.labels,
        model,
    )


def eager(name: str, model: TaskModel, runs: FinishedRuns | None, trained: bool = True) -> Contender:
    """A fine-tuned model as transformers runs it."""
    return _of_torch(EAGER, name, model, runs, trained)


def traced(folder: Path, like: str, runs: FinishedRuns | None, trained: bool = True) -> Contender:
    """A folder of `compress.py --treatment card`."""
    return _of_torch(TORCHSCRIPT, like, load_compressed(folder), runs, trained)


def exported(folder: Path, like: str, runs: FinishedRuns | None, trained: bool = True) -> Contender:
    """A folder of `compress.py --treatment onnx` or fast."""
    facts = read_facts(folder, ONNX)
    require_unchanged(model_path(folder, ONNX), facts)
    size = model_path(folder, ONNX).stat().st_size
    return Contender(
        ONNX, folder, like, runs, trained, facts["description"], int(facts["parameters"]), size, list(facts["labels"])
    )


def untrained(config: PretrainedConfig, like: TaskModel, seed: int, folder: Path) -> tuple[Any, TaskModel]:
    """A model of this structure with random weights, the head and labels of `like` and its tokenizer, in `folder`.

    What a model call costs depends on the structure and the length of the text, not on the weights' values.
    """
    config.id2label = dict(enumerate(like.labels))
    config.label2id = {name: index for index, name in enumerate(like.labels)}
    auto: Any = FORMS[like.kind].auto
    torch.manual_seed(seed)
    model = auto.from_config(config, attn_implementation="sdpa", dtype=torch.float32).eval()
    parameters = sum(each.numel() for each in model.parameters())
    save_model(model, like.folder, folder)
    return model, TaskModel(
        LogitsOf(model),
        like.labels,
        folder,
        like.task,
        like.kind,
        like.max_seq_length,
        describe(model),
        parameters,
        4 * parameters,
    )


def untrained_bert(like: TaskModel, vocab_size: int, seed: int, folder: Path) -> tuple[Any, TaskModel]:
    """BERT-base as cl-tohoku's (12 layers of width 768), `untrained`."""
    return untrained(BertConfig(vocab_size=vocab_size), like, seed, folder)


def rivals(model: Any, bert: TaskModel, folder: Path, trained: bool) -> dict[str, Contender]:
    """BERT given what MobileBERT is given: the card's treatment, and the same export to int8; made in `folder`."""
    graph, _ = compress(model, CARD_PRUNE_AMOUNT)
    save_compressed(graph, bert, folder / "card", {"prune_amount": CARD_PRUNE_AMOUNT, "per_channel": False})
    export(model, bert, folder / "onnx", "onnx", {"per_channel": None, "reduce_range": True})
    return {
        "bert_card": traced(folder / "card", "bert", None, trained),
        "bert_onnx": exported(folder / "onnx", "bert", None, trained),
    }


def load_contenders(folders: dict[str, Path], runs: dict[str, FinishedRuns], task: Task) -> dict[str, Contender]:
    """The contenders that are there, each with the first seed's model.

    Args:
        folders: name -> folder: mobilebert, card, and maybe bert, onnx, fast.

    Raises `UserError` if one cannot be loaded, is damaged or has other labels than the task.
    """
    contenders = {}
    for name, folder in folders.items():
        if name in ("onnx", "fast"):
            contenders[name] = exported(folder, "mobilebert", runs[name])
        elif name == "card":
            contenders[name] = traced(folder, "mobilebert", runs[name])
        else:
            require_own_structure(folder)  # each is sped up too, to compare
            contenders[name] = eager(name, load_finetuned(folder, task.name, runs[name].max_seq_length)[1], runs[name])
        require_labels(contenders[name].labels, task, folder)
    return contenders


def add_rivals(contenders: dict[str, Contender], folder: Path, seed: int) -> dict[str, Contender]:
    """The contenders with BERT as it is (of random weights if it is not among them) and sped up, BERT first.

    What is made for the comparison is made in `folder`.
    """
    like = contenders["mobilebert"].model
    assert like is not None  # the fine-tuned MobileBERT runs with torch
    trained = "bert" in contenders
    if trained:
        source = contenders["bert"]
        assert source.model is not None
        model, _ = load_finetuned(source.folder, like.task, source.model.max_seq_length)
    else:
        vocabulary = read_vocabulary(like.folder / "vocab.txt")
        model, bert = untrained_bert(like, len(vocabulary), seed, folder / "bert")
        contenders = {**contenders, "bert": eager("bert", bert, None, trained=False)}
    bert_model = contenders["bert"].model
    assert bert_model is not None
    ready = {"bert": contenders["bert"], **rivals(model, bert_model, folder, trained)}
    return {**ready, **{name: contender for name, contender in contenders.items() if name not in ready}}
