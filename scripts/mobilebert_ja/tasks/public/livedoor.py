"""livedoor news corpus: the title of an article -> its category, one of nine."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.data.livedoor_archive import read_articles
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task, share_rounded_up

TEST_PERCENT = 20
# 【Sports Watch】 and the like name the column, and with it the category; 独女 is the first half of a category's name.
# 週間ランキング stands in titles of peachy alone, the sponsor's name (spelled in two ways) in dokujo-tsushin's alone.
_MARKERS = re.compile(r"【[^】]*】|独女|週間ランキング|(?i:(Presented by\s*)?ゆるっとcafe)")


def without_markers(title: str) -> str:
    """A title without what gives its category away: headings in 【】, 独女, a ranking's and a sponsor's name.

    One that consists of nothing else stays as it was: an empty text would be answered by chance.
    """
    return " ".join(_MARKERS.sub(" ", title).split()) or title


def stratified_test_sizes(counts: dict[str, int], test_size: int) -> dict[str, int]:
    """How many of each class go to the test part: proportional, largest remainders rounded up."""
    total = sum(counts.values())
    sizes = {name: test_size * count // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(test_size * counts[name] % total), name))
    for name in by_remainder[: test_size - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def load_livedoor(path: Path, split_seed: int) -> Task:
    """Read and split: 20 % of the articles (rounded up) for the test, each category in proportion."""
    by_category: dict[str, list[Example]] = defaultdict(list)
    for category, title in read_articles(path):
        by_category[category].append(Example(title, category))
    labels = sorted(by_category)
    if len(labels) < 2 or min(map(len, by_category.values())) < 2:
        found = ", ".join(f"{name} ({len(by_category[name])})" for name in labels) or "none"
        raise UserError(f"{path} must hold at least two categories of two articles; found: {found}.")
    counts = {name: len(by_category[name]) for name in labels}
    sizes = stratified_test_sizes(counts, share_rounded_up(sum(counts.values()), TEST_PERCENT))
    generator = np.random.default_rng(split_seed)
    train: list[Example] = []
    test: list[Example] = []
    for name in labels:
        shuffled = [by_category[name][index] for index in generator.permutation(counts[name])]
        test += shuffled[: sizes[name]]
        train += shuffled[sizes[name] :]
    unmarked = [Example(without_markers(example.text), example.target) for example in test]
    return Task("livedoor", Kind.CLASSES, labels, train, test, {"without_markers": unmarked})
