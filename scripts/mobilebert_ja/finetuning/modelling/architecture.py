"""What differs between the architectures of transformers, for whoever puts a task to any of them."""

from __future__ import annotations

import inspect
from typing import Any

from mobilebert_ja.common.errors import UserError

# Their positions are counted from padding on: the first has the number pad_token_id + 1.
_COUNTED_FROM_PADDING = {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}


def longest_input(config: Any) -> int | None:
    """Tokens of the longest input that a model's position table allows; None: it has no such table."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions <= 0:
        return None
    if config.model_type in _COUNTED_FROM_PADDING and config.pad_token_id is not None:
        return int(positions) - int(config.pad_token_id) - 1
    return int(positions)


def tells_segments(model: Any) -> bool:
    """Whether a model takes token types and tells the two texts of a pair apart by them."""
    if "token_type_ids" not in inspect.signature(model.forward).parameters:
        return False
    return getattr(getattr(model, "config", None), "type_vocab_size", 2) > 1


def require_head(auto: Any, config: Any, name: str) -> None:
    """Raise `UserError` unless transformers has the head of `auto` for models of this kind.

    Args:
        auto: a class such as `AutoModelForTokenClassification`.
        name: of the model, for the message.
    """
    if type(config) in auto._model_mapping:
        return
    head = auto.__name__.removeprefix("AutoModel")
    raise UserError(
        f"{name} is a {config.model_type}; transformers has no model {head} of that kind, which the task needs."
    )


def attention_of(auto: Any, config: Any) -> str | None:
    """ "sdpa" where the model has it; None: what transformers takes by itself."""
    return "sdpa" if type(config) in auto._model_mapping and auto._model_mapping[type(config)]._supports_sdpa else None
