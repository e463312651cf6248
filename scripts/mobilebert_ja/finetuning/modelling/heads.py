"""The model to fine-tune: pretrained or random weights under a fresh head, with the user's label names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, BertConfig, PretrainedConfig
from transformers.utils import logging as transformers_logging

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_folder
from mobilebert_ja.finetuning.modelling.architecture import longest_input, require_head
from mobilebert_ja.finetuning.modelling.forms import FORMS
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded
from mobilebert_ja.model.mobilebert import initialise_student, mobilebert_config
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks.base import Task
from mobilebert_ja.tokenization.frame import TextEncoder

EMBEDDING_GAIN = 33.0  # see `initialise_student`
SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
_HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering")
_SHOWN_LABELS = 5


def _sizes(settings: FinetuneSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in SIZES if getattr(settings, name) is not None}


def require_student(settings: FinetuneSettings) -> None:
    """Raise `UserError` if no model was named and the road has made none yet: before a tokenizer is looked for there,
    of which transformers would say that its name is none of the Hub's."""
    usual = Path(settings.work_dir) / FinetuneSettings.places["model_name_or_path"]
    if str(usual) in (settings.tokenizer, settings.model_name_or_path):
        require_folder(usual, "pretrain.py makes it; --model_name_or_path . takes this repository's checkpoint.")


def model_config(settings: FinetuneSettings, vocab_size: int) -> PretrainedConfig:
    """The configuration of the model to start from, checked against the tokenizer and the settings.

    Raises `UserError` if there is no such model, or if its vocabulary or positions do not suffice.
    """
    config: Any
    if settings.random_weights == "mobilebert":
        config = mobilebert_config(vocab_size, **_sizes(settings))
    elif settings.random_weights == "bert":
        config = BertConfig(vocab_size=vocab_size, **_sizes(settings))  # BERT-base, unless told otherwise
        if config.hidden_size % config.num_attention_heads:
            raise UserError(
                f"--hidden_size {config.hidden_size} is no multiple of "
                f"--num_attention_heads {config.num_attention_heads}."
            )
    else:
        name = str(settings.model_name_or_path)
        if _sizes(settings):
            raise UserError(f"--{next(iter(_sizes(settings)))} goes with --random_weights; {name} has its own sizes.")
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        except NOT_LOADED as error:
            raise UserError(f"No model at {name}: {why_not_loaded(name, error)}") from None
    if vocab_size > config.vocab_size:
        raise UserError(
            f"The vocabulary does not fit: the tokenizer has {vocab_size} entries, "
            f"{settings.model_name_or_path} embeds {config.vocab_size}."
        )
    longest = longest_input(config)
    if longest is not None and settings.max_seq_length > longest:
        raise UserError(f"--max_seq_length {settings.max_seq_length} is more than the model's {longest} positions.")
    return config


def needs_new_head(settings: FinetuneSettings, config: Any, task: Task) -> bool:
    """True if the model is fine-tuned already, on other labels or for answers of another kind than the task's.

    Args:
        config: the model's own, as `model_config` gives it.

    Raises `UserError` then, unless `settings.ignore_mismatched_labels` is set; and if there is no such head for it.
    """
    if settings.random_weights:
        return False
    form: Any = FORMS[task.kind]
    require_head(form.auto, config, str(settings.model_name_or_path))
    architecture = next(iter(config.architectures or []), "")
    if not architecture.endswith(_HEADS):
        return False
    known = [config.id2label[index] for index in range(config.num_labels)]
    unnamed = known == [f"LABEL_{index}" for index in range(len(task.labels))]
    if architecture.endswith(form.auto.__name__.removeprefix("AutoModel")) and (
        not form.has_label_names or unnamed or known == task.labels
    ):
        return False
    if not settings.ignore_mismatched_labels:
        raise UserError(
            f"{settings.model_name_or_path} is fine-tuned already, for {_shown(known)} ({architecture}), and the task "
            f"asks for {_shown(task.labels)}; --ignore_mismatched_labels true gives it a new head of random weights."
        )
    return True


def _shown(labels: list[str]) -> str:
    if not labels:
        return "answers without labels"
    more = ", ..." if len(labels) > _SHOWN_LABELS else ""
    return f"{len(labels)} label{'' if len(labels) == 1 else 's'} ({', '.join(labels[:_SHOWN_LABELS])}{more})"


def make_model(settings: FinetuneSettings, config: PretrainedConfig, task: Task) -> Any:
    """A classifier in float32 on the CPU; its new weights depend on `settings.seed` alone.

    Raises `UserError` if the pretrained weights are not those of the structure in their config.json, or if they have
    a head for other labels (see `needs_new_head`).
    """
    form: Any = FORMS[task.kind]
    auto = form.auto
    new_head = needs_new_head(settings, config, task)
    config = copy.deepcopy(config)  # each seed has its own
    if new_head:
        plain = PretrainedConfig()  # as of a model without a head
        config.id2label, config.label2id, config.problem_type = plain.id2label, plain.label2id, plain.problem_type
    if form.has_label_names:
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {label: index for index, label in enumerate(task.labels)}
        config.problem_type = form.problem_type
    config.dtype = torch.float32
    torch.manual_seed(settings.seed)
    if settings.random_weights:
        model = auto.from_config(config)
        if settings.random_weights == "mobilebert":
            initialise_student(model, EMBEDDING_GAIN)
    else:
        model = _pretrained(auto, str(settings.model_name_or_path), config, new_head)
    if new_head:
        torch.manual_seed(settings.seed)
        fresh = auto.from_config(config).state_dict()
        body = f"{model.base_model_prefix}."
        model.load_state_dict({key: each for key, each in fresh.items() if not key.startswith(body)}, strict=False)
    return model


def _pretrained(auto: Any, name: str, config: PretrainedConfig, new_head: bool) -> Any:
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would list the pretraining heads, which are left out on purpose
    transformers_logging.disable_progress_bar()
    try:
        model, report = auto.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below: transformers refers to a report that is silenced here
        )
    except NOT_LOADED as error:
        raise UserError(f"The weights of {name} cannot be loaded: {why_not_loaded(name, error)}") from None
    finally:
        transformers_logging.set_verbosity(level)
    backbone = f"{model.base_model_prefix}."
    for key, stored, expected in sorted(report["mismatched_keys"]):
        if key.startswith(backbone) or not new_head:
            raise UserError(
                f"The weights of {name} are not those of its config.json: {key} is {list(stored)}, by the latter "
                f"{list(expected)}."
            )
    absent = sorted(key for key in report["missing_keys"] if key.startswith(backbone) and ".pooler." not in key)
    if absent:
        raise UserError(f"{name} lacks {len(absent)} weights of its own structure, for example {absent[0]}.")
    return model


_CHECKED_CHARS = 2000  # of a text: transformers gives MeCab the whole of one, which ends the process of the longest


def check_tokenizer(tokenizer: Any, encoder: TextEncoder, texts: list[str]) -> None:
    """Raise `UserError` unless the encoder gives the ids that `tokenizer` gives for `texts`.

    One of another kind than those that it is made for would be misread in silence. Texts that spell a special token,
    such as "[SEP]", are passed over: there the two differ on purpose.
    """
    for text in (text[:_CHECKED_CHARS] for text in texts):
        if any(token in text for token in tokenizer.all_special_tokens):
            continue
        if tokenizer(text, verbose=False)["input_ids"] != encoder.frame.single(encoder.ids(text)):
            raise UserError(
                f"The tokenizer {tokenizer.name_or_path} does not split text as its configuration says; --tokenizer "
                "names another."
            )
