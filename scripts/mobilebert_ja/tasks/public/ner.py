"""Japanese named entities (stockmark ner-wikipedia-dataset): character spans <-> BIO tags of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.inference.decoding import OUTSIDE, Span, bio_labels, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task, share_rounded_up

NER_FILE = "ner/ner.json"
TEST_PERCENT = 40
__all__ = ["NER_FILE", "bio_labels", "bio_tags", "load_ner", "read_sentences", "spans_of_tags"]
_HINT = (
    "python scripts/download_data.py fetches it (https://github.com/stockmarkteam/ner-wikipedia-dataset); --data_dir "
    "names the folder above ner/."
)


def spans_of_item(item: Any) -> list[Span]:
    """The spans of one sentence of the file, in order; white space around the name of a type is left out.

    Raises ValueError saying what is wrong with it.
    """
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise ValueError('it must be {"text": ..., "entities": [...]}')
    if not isinstance(item.get("entities"), list):
        raise ValueError('"entities" must be a list')
    text, spans = item["text"], []
    for entity in item["entities"]:
        try:
            (start, end), of_type, name = entity["span"], entity["type"], entity.get("name")
        except (TypeError, KeyError, ValueError, AttributeError):
            raise ValueError('an entity must have "span": [start, end] and "type"') from None
        # Not isinstance(): true and false are integers to it.
        if not (type(start) is type(end) is int and isinstance(of_type, str) and of_type.strip()):
            raise ValueError('an entity must have "span": [start, end] in characters and a "type" in words')
        if not 0 <= start < end <= len(text):
            raise ValueError(f"the span [{start}, {end}] is outside its {len(text)} characters")
        if name is not None and text[start:end] != name:
            raise ValueError(f'the span [{start}, {end}] holds "{text[start:end]}", not "{name}"')
        spans.append((start, end, of_type.strip()))
    spans.sort()
    for before, after in itertools.pairwise(spans):
        if after[0] < before[1]:
            raise ValueError(f"the entities {list(before[:2])} and {list(after[:2])} overlap")
    return spans


def read_sentences(path: Path) -> list[Example]:
    """Every sentence of the file with its spans. Raises `UserError` naming the file and the sentence at fault."""
    items = read_json(path, _HINT)
    if not isinstance(items, list):
        raise UserError(f"{path} must hold a list of sentences, not a {type(items).__name__}.")
    examples = []
    for number, item in enumerate(items):
        try:
            spans = spans_of_item(item)
        except ValueError as error:
            raise UserError(f"{path}: sentence {number} (counted from 0) is malformed: {error}.") from None
        examples.append(Example(item["text"], spans))
    return examples


def load_ner(path: Path, split_seed: int) -> Task:
    """Read and split: 40 % of the sentences (rounded up) for the test, the rest for training."""
    examples = read_sentences(path)
    types = sorted({of_type for example in examples for _, _, of_type in example.target})
    if not types or len(examples) < 2:
        raise UserError(f"{path} must hold at least two sentences and one entity.")
    order = np.random.default_rng(split_seed).permutation(len(examples))
    test_size = share_rounded_up(len(examples), TEST_PERCENT)
    return Task(
        "ner",
        Kind.ENTITIES,
        bio_labels(types),
        train=[examples[index] for index in order[test_size:]],
        test=[examples[index] for index in order[:test_size]],
    )


def bio_tags(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """The tag of each token.

    A token that straddles a boundary belongs to the span that covers at least half of its characters, to the first one
    if two do. So the tags never extend a span by more than they clip, and a span of which no token has half is lost;
    no tagging of these tokens could give it back exactly. A token of no width belongs to the span that it stands in.
    """
    tags = [OUTSIDE] * len(offsets)
    begun: set[Span] = set()
    for index, (start, end) in enumerate(offsets):
        for span in spans:
            covered = min(end, span[1]) - max(start, span[0])
            within = span[0] < start == end < span[1]
            if within or (covered > 0 and 2 * covered >= end - start):
                tags[index] = f"{'I' if span in begun else 'B'}-{span[2]}"
                begun.add(span)
                break
    return tags
