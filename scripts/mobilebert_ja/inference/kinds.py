"""The kinds of task, and what of each must be known without torch: by the runtime, by folders and by cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a task asks of a model. `finetuning.modelling.forms.FORMS` says how each is put to one."""

    CLASSES = "classes"  # one class of a text or of a pair of texts
    ENTITIES = "entities"  # typed spans of characters in a text
    NUMBER = "number"  # a number for a pair of texts
    CHOICES = "choices"  # one of several continuations of a text
    ANSWERS = "answers"  # the answer to a question, as it stands in a context


@dataclass(frozen=True)
class KindFacts:
    """What is known of a kind without torch.

    Attributes:
        head: what the name of its class in transformers ends in.
        pipeline_tag: its task on the Hub.
        metric: the main score of such a task, a key of `tasks.metrics.METRICS`.
        per_token: its logits are [rows, tokens, labels], and a long text is read in overlapping windows; otherwise
            [rows, labels], and a long text is truncated.
        stored_as: its name in compressed.json; "": such a model cannot be sped up.
        settings: those of finetune.py that say something about this kind alone.
    """

    head: str
    pipeline_tag: str
    metric: str
    per_token: bool = False
    stored_as: str = ""
    settings: tuple[str, ...] = ()


KINDS = {
    Kind.CLASSES: KindFacts("ForSequenceClassification", "text-classification", "accuracy", stored_as="sequence"),
    Kind.ENTITIES: KindFacts(
        "ForTokenClassification",
        "token-classification",
        "f1",
        per_token=True,
        stored_as="token",
        settings=("decoding", "crf_gain", "validation_share"),
    ),
    Kind.NUMBER: KindFacts("ForSequenceClassification", "text-classification", "spearman"),
    Kind.CHOICES: KindFacts("ForMultipleChoice", "multiple-choice", "accuracy"),
    Kind.ANSWERS: KindFacts("ForQuestionAnswering", "question-answering", "answer_f1", settings=("doc_stride",)),
}
STORED_KINDS = {facts.stored_as: kind for kind, facts in KINDS.items() if facts.stored_as}


def kind_of_facts(facts: Mapping[str, Any]) -> Kind:
    """The kind of a sped-up model, from its compressed.json.

    Folders from before the kind was stored were made for two tasks alone, and only one of them has entities.

    Raises KeyError for a kind that is none of `STORED_KINDS`.
    """
    if "kind" in facts:
        return STORED_KINDS[facts["kind"]]
    return Kind.ENTITIES if facts["task"] == "ner" else Kind.CLASSES


def kind_of_config(config: Mapping[str, Any]) -> Kind:
    """The kind of a `save_pretrained` folder, from the head that its config.json names; classes if it names none."""
    heads = [str(each) for each in config.get("architectures") or []]
    if config.get("problem_type") == "regression":
        return Kind.NUMBER
    return next(
        (kind for kind, facts in KINDS.items() if any(head.endswith(facts.head) for head in heads)), Kind.CLASSES
    )
