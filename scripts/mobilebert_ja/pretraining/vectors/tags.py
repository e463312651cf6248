"""The part of speech of every word of the packed corpus, as MeCab's unidic_lite gives it, kept beside the shards.

Whoever cuts a text into words with MeCab has their parts of speech for nothing, down to the kind of a proper noun: a
signal that needs no labels, about what entities are told by. Part-of-speech tags as one more task of pretraining are
SentiLARE's (arXiv 1911.02493) and LIMIT-BERT's (arXiv 1910.14296). No torch: the machine that tags need not train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of, write_atomically, write_json
from mobilebert_ja.common.paths import TAG_INDEX_NAME
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.pretraining.packing import bounded_map
from mobilebert_ja.pretraining.shards import Shards, Source
from mobilebert_ja.pretraining.vectors.stretches import Stretch, Stretches
from mobilebert_ja.settings import TagSettings
from mobilebert_ja.tokenization.mecab import words_with_features

MOST_CLASSES = 254  # of a byte, 0 for no class
_FOUND = "found"  # folder of what MeCab says of each source, until it is known which classes are frequent


def class_of(features: str) -> str:
    """What a dictionary tells of a word, from wide to narrow: "名詞-数詞" of "名詞,数詞,*,*"."""
    return "-".join(each for each in features.split(",") if each != "*")


def _begins_a_word(vocabulary: list[str]) -> np.ndarray:
    """bool [V]"""
    return np.array([not entry.startswith("##") for entry in vocabulary])


def classes_of_words(stretch: Stretch, first: np.ndarray) -> Iterator[tuple[int, str]]:
    """(index of a word's first token in the stretch, its class), of each word that MeCab begins and ends where the
    tokens do.

    Args:
        first: bool [tokens], whether a token begins a word; those that follow belong to it.
    """
    words = words_with_features(stretch.text)
    if "".join(surface for surface, _ in words) != stretch.text.replace(" ", ""):
        return  # MeCab dropped something else than the space between Latin words: nothing is known to stand anywhere
    classes: dict[tuple[int, int], str] = {}
    position = 0
    for surface, features in words:
        classes[position, position + len(surface)] = class_of(features)
        position += len(surface)
    begins = np.flatnonzero(first)
    lengths = stretch.spans[:, 1] - stretch.spans[:, 0]
    borders = np.concatenate([[0], np.cumsum(lengths)])  # of tokens, spaces not counted
    ends = [*borders[begins[1:]].tolist(), int(borders[-1])]
    for index, begin, end in zip(begins.tolist(), borders[begins].tolist(), ends, strict=True):
        if (begin, end) in classes:
            yield index, classes[begin, end]


def find_classes(vocabulary: list[str], folder: Path, source: Source) -> int:
    """Write what MeCab says of a source to FOLDER/SOURCE.npz, unless it stands there: `found`, uint16 [tokens], the
    number of each one's class, counted from 1, and `classes`, their names. Returns how many tokens the source has."""
    target = folder / f"{source.name}.npz"
    if not target.is_file():
        begins = _begins_a_word(vocabulary)[source.tokens]
        numbers: dict[str, int] = {}
        found = np.zeros(len(source.tokens), np.uint16)
        for stretch in Stretches([source], vocabulary, None):
            first = begins[stretch.first : stretch.first + len(stretch.spans)]
            for index, name in classes_of_words(stretch, first):
                found[stretch.first + index] = numbers.setdefault(name, len(numbers) + 1)
        with write_atomically(target, "wb") as stream:
            np.savez(stream, found=found, classes=np.array(list(numbers), np.str_))
    return len(source.tokens)


def _found(folder: Path, source: Source) -> tuple[np.ndarray, list[str]]:
    """What `find_classes` wrote of a source."""
    with np.load(folder / f"{source.name}.npz", allow_pickle=False) as stored:
        return stored["found"], stored["classes"].tolist()


def frequent_classes(counts: Counter[str], least: int) -> dict[str, int]:
    """The classes to keep, the most frequent first, at most `MOST_CLASSES`, and how many words each has: those with at
    least so many words, and the parts of speech ("名詞") that have as many with the words of rarer classes."""
    kept = Counter({name: count for name, count in counts.items() if count >= least})
    rest: Counter[str] = Counter()
    for name, count in counts.items():
        if name not in kept:
            rest[name.split("-")[0]] += count
    for name, count in rest.items():
        if name in kept or count >= least:
            kept[name] += count
    return dict(sorted(kept.items(), key=lambda each: (-each[1], each[0]))[:MOST_CLASSES])


def write_tags(folder: Path, shards: Shards, vocabulary: list[str], settings: TagSettings) -> dict[str, Any]:
    """Write the class of each word's first token, a file per source; sources that an interrupted run has been through
    are not tagged again.

    Returns:
        The counts for the record: `tokens`, `words` (tokens that begin one), `tagged`, `sources`, and `classes`, the
        words of each by its name.

    Raises `UserError` if no source matches, or if no class has enough words.
    """
    chosen = shards.matching(settings.sources)
    asked = folder / _FOUND
    asked.mkdir(exist_ok=True)
    bar = progress_bar(total=sum(len(each.tokens) for each in chosen), desc="tagging", unit="token")
    with _mapping(settings.num_workers) as mapped:
        for tokens in mapped(partial(find_classes, vocabulary, asked), chosen):
            bar.update(tokens)
    bar.close()
    counts: Counter[str] = Counter()
    for source in chosen:
        found, names = _found(asked, source)
        counts.update(dict(zip(names, np.bincount(found, minlength=len(names) + 1)[1:].tolist(), strict=True)))
    kept = frequent_classes(counts, settings.min_count)
    if not kept:
        most = max(counts.values(), default=0)
        raise UserError(f"--min_count {settings.min_count}: no class has as many words; the largest has {most}.")
    begins = _begins_a_word(vocabulary)
    numbers = {name: number for number, name in enumerate(kept, start=1)}
    totals = np.zeros(len(kept) + 1, np.int64)
    words = 0
    for source in chosen:
        found, names = _found(asked, source)
        table = [0, *(numbers.get(name, numbers.get(name.split("-")[0], 0)) for name in names)]
        tags = np.array(table, np.uint8)[found]
        totals += np.bincount(tags, minlength=len(totals))
        words += int(begins[source.tokens].sum())
        with write_atomically(folder / f"{source.name}.npy", "wb") as stream:
            np.save(stream, tags)
    files = {each.name: sha256_of(folder / f"{each.name}.npy") for each in chosen}
    write_json(folder / TAG_INDEX_NAME, {"format": 1, "classes": list(kept), "sha256": files})
    for source in chosen:
        (asked / f"{source.name}.npz").unlink()
    asked.rmdir()
    return {
        "tokens": sum(len(each.tokens) for each in chosen),
        "words": words,
        "tagged": int(totals[1:].sum()),
        "sources": len(chosen),
        "classes": dict(zip(kept, totals[1:].tolist(), strict=True)),
    }


@contextmanager
def _mapping(workers: int) -> Iterator[Any]:
    """A `map` that so many processes work for; for one worker it is Python's own."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        yield partial(bounded_map, pool)
