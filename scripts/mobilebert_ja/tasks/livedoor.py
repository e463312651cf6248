"""livedoor news corpus: the title of an article -> its category, one of nine."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np

from mobilebert_ja.errors import UserError
from mobilebert_ja.files import require_file
from mobilebert_ja.tasks.base import Example, Task, share_rounded_up

LIVEDOOR_FILE = "livedoor/ldcc-20140209.tar.gz"
TEST_PERCENT = 20
_NOT_ARTICLES = {"LICENSE.txt", "README.txt", "CHANGES.txt"}
_HINT = (
    "python scripts/download_data.py fetches it (https://www.rondhuit.com/download.html#ldcc); --data_dir names the "
    "folder above livedoor/."
)
# 【Sports Watch】 and the like name the column, and with it the category; 独女 is the first half of a category's name.
# 週間ランキング stands in titles of peachy alone, the sponsor's name (spelled in two ways) in dokujo-tsushin's alone.
_MARKERS = re.compile(r"【[^】]*】|独女|週間ランキング|(?i:(Presented by\s*)?ゆるっとcafe)")


def without_markers(title: str) -> str:
    """A title without what gives its category away: headings in 【】, 独女, a ranking's and a sponsor's name.

    One that consists of nothing else stays as it was: an empty text would be answered by chance.
    """
    return " ".join(_MARKERS.sub(" ", title).split()) or title


def read_articles(path: Path) -> list[tuple[str, str]]:
    """(category, title) of every article in the archive, in the order of their file names.

    An article is a file text/CATEGORY/NAME.txt: line 1 its address, line 2 its date, line 3 its title, then its text.
    Raises `UserError` naming the archive, and the file within, that is not as it should be.
    """
    articles = []
    for category, name, content in _files(path):
        articles.append((category, name, _title(content, path, f"{category}/{name}")))
    return [(category, title) for category, _, title in sorted(articles)]


def articles_digest(path: Path) -> str:
    """SHA-256 over names and contents of the articles: the same however the archive was packed.

    Raises `UserError` if it is no such archive.
    """
    lines = sorted(f"{category}/{name} {sha256(content).hexdigest()}\n" for category, name, content in _files(path))
    return sha256("".join(lines).encode()).hexdigest()


def _files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """(category, file name, content) of every article, in the archive's order."""
    require_file(path, _HINT)
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if not member.isfile() or place.suffix != ".txt" or place.name in _NOT_ARTICLES:
                    continue
                stream = archive.extractfile(member)
                assert stream is not None  # only links and folders have none
                yield place.parent.name, place.name, stream.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is not a complete tar archive: {error}. {_HINT}") from None


def _title(content: bytes, path: Path, name: str) -> str:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {name} is not UTF-8 (byte {error.start}).") from None
    if len(lines) < 3 or not lines[2].strip():
        raise UserError(f"{path}: {name} has no title; line 3 of an article is its title.")
    return lines[2].strip()


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
        shuffled = [by_category[name][place] for place in generator.permutation(counts[name])]
        test += shuffled[: sizes[name]]
        train += shuffled[sizes[name] :]
    unmarked = [Example(without_markers(example.text), example.target) for example in test]
    return Task("livedoor", "accuracy", labels, train, test, {"without_markers": unmarked})
