"""From sources of raw text to clean, distinct sentences in documents."""

from __future__ import annotations

import glob
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mobilebert_ja.errors import UserError
from mobilebert_ja.files import read_json, read_lines, require_file
from mobilebert_ja.text import clean, split_sentences, unwanted

SOURCES = ("text", "cirrussearch", "hub")
SUFFIXES = (".txt", ".jsonl")
COMPRESSIONS = (".gz", ".xz", ".bz2")
Document = list[str]  # paragraphs before cleaning, sentences after


def _bare_name(path: Path) -> str:
    name = path.name
    for suffix in (*COMPRESSIONS, *SUFFIXES, ".json"):
        name = name.removesuffix(suffix)
    return name


def find_text_files(patterns: str) -> list[Path]:
    """The text files that comma separated files, folders and globs name, sorted. Raises `UserError` if none."""
    found: set[Path] = set()
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        path = Path(pattern)
        if path.is_dir():
            inside = [each for each in path.rglob("*") if each.is_file()]
            found.update(each for each in inside if each.name != _bare_name(each))
        elif path.is_file():
            found.add(path)
        else:
            matches = [Path(each) for each in glob.glob(pattern) if Path(each).is_file()]
            if not matches:
                raise UserError(f"{pattern} does not exist (--input takes files, folders or glob patterns).")
            found.update(matches)
    if not found:
        raise UserError(f"{patterns} holds no text: expected .txt or .jsonl files, plain or .gz, .xz, .bz2.")
    return sorted(found)


def text_documents(path: Path) -> Iterator[Document]:
    """Documents of a text file (a blank line between them) or a .jsonl file (one in "text" of each line)."""
    if ".jsonl" in path.name:
        for number, line in enumerate(read_lines(path), start=1):
            try:
                yield str(json.loads(line)["text"]).splitlines()
            except (json.JSONDecodeError, KeyError, TypeError):
                raise UserError(f'{path}, line {number}: expected a JSON object with the key "text".') from None
        return
    document: Document = []
    for line in read_lines(path):
        if line.strip():
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def cirrussearch_documents(path: Path) -> Iterator[Document]:
    """Articles of a Wikimedia CirrusSearch content dump: alternating lines of index and content, read as a stream."""
    for number, line in enumerate(read_lines(path), start=1):
        try:
            article = json.loads(line)
        except json.JSONDecodeError:
            raise UserError(f"{path}, line {number} is not JSON; expected a CirrusSearch content dump.") from None
        if "index" not in article and article.get("text"):
            # The dump puts "parent > title" before the text of a subpage.
            text, title = article["text"], article.get("title", "")
            yield [text.partition(f"> {title} ")[2] or text]


def hub_documents(name: str) -> Iterator[Document]:
    """Articles of a data set on the Hub, "NAME" or "NAME:CONFIGURATION", streamed."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            "--source hub needs the package datasets (pip install datasets). Without it, download the articles and "
            "give them with --source text --input FILE.jsonl."
        ) from None
    dataset, _, configuration = name.partition(":")
    try:
        for row in load_dataset(dataset, configuration or None, split="train", streaming=True):
            yield str(row["text"]).splitlines()
    except (OSError, ValueError, ConnectionError) as error:
        raise UserError(
            f"The Hub data set {name} cannot be read: {str(error).splitlines()[0]}. Download it by hand and give it "
            "with --source text --input FILE.jsonl."
        ) from None


def open_source(source: str, given: str) -> dict[str, Iterator[Document]]:
    """Name of each part of a source -> its documents. Missing input raises `UserError` here, before any work."""
    if source == "hub":
        return {given.replace("/", "_").replace(":", "_"): hub_documents(given)}
    if source == "cirrussearch":
        path = require_file(given, "Download a dump from https://dumps.wikimedia.org/other/cirrussearch/ for --input.")
        return {_bare_name(path): cirrussearch_documents(path)}
    files = find_text_files(given)
    names = Counter(_bare_name(path) for path in files)
    doubled = [name for name, count in names.items() if count > 1]
    if doubled:
        raise UserError(f"Two input files are both called {doubled[0]}; sources need distinct names.")
    return {_bare_name(path): text_documents(path) for path in files}


def excluded_sentences(paths: Iterable[Path]) -> set[bytes]:
    """Digests of the sentences of evaluation files: JSON lists of objects with "text"."""
    digests = set()
    for path in paths:
        for item in read_json(path, "It names sentences to keep out of pretraining (--exclude)."):
            if not isinstance(item, dict) or "text" not in item:
                raise UserError(f'{path}: expected a list of objects with the key "text".')
            for sentence in split_sentences(clean(str(item["text"]))):
                digests.add(digest(sentence))
    return digests


def digest(text: str) -> bytes:
    """64 bits that stand for a sentence."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()


@dataclass
class CleanedChunk:
    """Documents of sentences, and what cleaning changed or left out."""

    documents: list[Document]
    counts: Counter[str] = field(default_factory=Counter)


def clean_documents(documents: list[Document], min_chars: int, max_chars: int) -> CleanedChunk:
    """Clean, split and filter; what needs no knowledge of the rest of the corpus, so it runs in a worker process."""
    chunk = CleanedChunk([])
    for document in documents:
        kept = []
        for paragraph in document:
            for sentence in split_sentences(clean(paragraph, chunk.counts)):
                reason = unwanted(sentence, min_chars, max_chars)
                if reason is None:
                    kept.append(sentence)
                else:
                    chunk.counts[reason] += 1
        chunk.documents.append(kept)
    return chunk


def in_chunks(documents: Iterable[Document], size: int = 200) -> Iterator[list[Document]]:
    """Groups of `size` documents."""
    iterator = iter(documents)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Distinct:
    """Drops sentences and documents that stood earlier in the corpus, and sentences of evaluation sets."""

    def __init__(self, excluded: set[bytes], heldout_every: int):
        self.excluded, self.heldout_every = excluded, heldout_every
        self.sentences: set[bytes] = set()
        self.documents: set[bytes] = set()
        self.counts: Counter[str] = Counter()

    def filter(self, document: Document) -> tuple[str, Document]:
        """("train" | "heldout", the sentences that remain); the part follows from the document's text alone."""
        whole = digest("\n".join(document))
        if document and whole in self.documents:
            self.counts["duplicate_documents"] += 1
            return "train", []
        self.documents.add(whole)
        kept = []
        for sentence in document:
            key = digest(sentence)
            if key in self.excluded:
                self.counts["evaluation_sentences"] += 1
            elif key in self.sentences:
                self.counts["duplicate_sentences"] += 1
            else:
                self.sentences.add(key)
                kept.append(sentence)
        part = "heldout" if int.from_bytes(whole, "big") % self.heldout_every == 0 else "train"
        return part, kept
