"""Where raw text comes from: text files, a CirrusSearch dump, a data set on the Hub; each read as a stream."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import COMPRESSIONS, ending_of, read_lines, require_file
from mobilebert_ja.data.download import download, is_url

SOURCES = ("text", "cirrussearch", "hub")
SUFFIXES = (".txt", ".jsonl")
# A text file without blank lines would otherwise be one document of any size.
MAX_DOCUMENT_CHARS = 1_000_000
HUB_TIMEOUT_SECONDS = 5.0
Document = list[str]  # paragraphs
_LINE_END = re.compile(r"\r\n?|\n")


def bare_name(path: Path) -> str:
    """The file's name without the endings that say how it is stored."""
    name = path.name
    for suffix in (*COMPRESSIONS, *SUFFIXES, ".json"):
        if name.lower().endswith(suffix):  # Windows and cameras write them in capitals
            name = name[: -len(suffix)]
    return name


def find_text_files(patterns: list[str]) -> list[Path]:
    """The text files that files, folders and globs name, sorted. Raises `UserError` if none."""
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = [each for each in path.rglob("*") if each.is_file()]
            found.update(each for each in inside if ending_of(each) in SUFFIXES)
        elif path.is_file():
            found.add(path)
        else:
            matches = [Path(each) for each in glob.glob(pattern) if Path(each).is_file()]
            if not matches:
                raise UserError(f"{pattern} does not exist (--input takes files, folders or glob patterns).")
            found.update(matches)
    if not found:
        searched, compressed = ", ".join(patterns) or "--input", ", ".join(COMPRESSIONS)
        raise UserError(f"{searched} holds no text: expected .txt or .jsonl files, plain or {compressed}.")
    return sorted(found)


def paragraphs(text: str) -> Document:
    r"""The lines of a text out of JSON or a table, which may hold halves of surrogate pairs that UTF-8 cannot.

    Lines end in \n, \r\n or \r, as in files, and not at what else Python's splitlines() takes for an end (U+2028, a
    form feed).
    """
    lines = _LINE_END.split(text.encode("utf-8", "replace").decode("utf-8"))
    return lines if lines[-1] else lines[:-1]


def text_documents(path: Path, key: str = "text", encoding: str | None = None) -> Iterator[Document]:
    """Documents of a text file (a blank line between them) or a .jsonl file (one in `key` of each line).

    Args:
        encoding: see `read_lines`.

    Raises `UserError` naming the line of a .jsonl file that has no text.
    """
    lines = read_lines(path, encoding)
    if ending_of(path) != ".jsonl":
        yield from documents_of_lines(lines)
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[key]
        except (ValueError, KeyError, TypeError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise UserError(f'{path}, line {number}: expected a JSON object with a text "{key}".')
        yield paragraphs(text)


def documents_of_lines(lines: Iterable[str]) -> Iterator[Document]:
    """Documents of plain text: a paragraph per line, a blank line between documents."""
    document: Document = []
    size = 0
    for line in lines:
        if line.strip():
            document.append(line)
            size += len(line)
        if document and (not line.strip() or size >= MAX_DOCUMENT_CHARS):
            yield document
            document, size = [], 0
    if document:
        yield document


def cirrussearch_documents(path: Path) -> Iterator[Document]:
    """Articles of a Wikimedia CirrusSearch content dump: alternating lines of index and content."""
    for number, line in enumerate(read_lines(path), start=1):
        try:
            article = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}, line {number} is not JSON; expected a CirrusSearch content dump.") from None
        text = (article.get("text") or "") if isinstance(article, dict) else None
        if not isinstance(text, str):
            raise UserError(f"{path}, line {number} is no article; expected a CirrusSearch content dump.")
        if "index" not in article and text:
            # The dump puts "parent > title" before the text of a subpage.
            title = article.get("title", "")
            yield paragraphs(text.partition(f"> {title} ")[2] or text)


_BY_HAND = "download its files by hand and give them with --source text --input FILE.jsonl"


def require_hub(name: str) -> None:
    """Ask the Hub once for the data set "NAME" or "NAME:CONFIGURATION", before anything retries for minutes.

    Raises `UserError` if it cannot be reached or has no such data set. A local folder is taken as it is.
    """
    from huggingface_hub import HfApi

    dataset = name.partition(":")[0]
    if Path(dataset).is_dir():
        return
    try:
        HfApi().dataset_info(dataset, timeout=HUB_TIMEOUT_SECONDS)
    except Exception as error:  # every HTTP library below has exceptions of its own
        reason = first_line(error)
        raise UserError(f"The Hub data set {dataset} cannot be read ({reason}); {_BY_HAND}.") from None


def hub_documents(name: str) -> Iterator[Document]:
    """Articles of a data set on the Hub or in a local folder, "NAME" or "NAME:CONFIGURATION", streamed."""
    from datasets import load_dataset

    dataset, _, configuration = name.partition(":")
    try:
        with tempfile.TemporaryDirectory() as scratch:  # of what is local, nothing needs to stand in HF_HOME
            cache = scratch if Path(dataset).is_dir() else None
            for row in load_dataset(dataset, configuration or None, split="train", streaming=True, cache_dir=cache):
                yield paragraphs(row["text"] or "")
    except (OSError, ValueError, RuntimeError) as error:  # what the libraries below raise for a network or a name
        reason = first_line(error)
        raise UserError(f"The Hub data set {name} cannot be read ({reason}); {_BY_HAND}.") from None
    except KeyError:
        raise UserError(f'The Hub data set {name} has no column "text".') from None


@dataclass(frozen=True)
class Part:
    """One named input of the corpus. Read by worker processes, so it holds where to read, not an open file."""

    name: str
    source: str
    location: str

    def documents(self) -> Iterator[Document]:
        if self.source == "hub":
            return hub_documents(self.location)
        read: Callable[[Path], Iterator[Document]]
        read = cirrussearch_documents if self.source == "cirrussearch" else text_documents
        return read(Path(self.location))


def _fetched(url: str, downloads: Path, checksum: str | None) -> Path:
    """The local copy of `url`, in a folder of its own: the last part of an address may be that of another one too."""
    return download(url, downloads / hashlib.sha256(url.encode()).hexdigest()[:12], checksum)


def parts_of(source: str, given: list[str], downloads: Path, checksum: str | None = None) -> list[Part]:
    """The inputs that --source and --input name, sorted by name. Raises `UserError` for a missing one.

    Args:
        source: one of `SOURCES`.
        given: files, folders, globs or URLs; for "hub" a single NAME or NAME:CONFIGURATION.
        downloads: folder that keeps what is fetched from URLs, each in a folder of its own.
        checksum: ALGORITHM:HEX that a single downloaded file must have.
    """
    if source == "hub":
        (name,) = given
        require_hub(name)
        return [Part(name.replace("/", "_").replace(":", "_"), source, name)]
    local = [str(_fetched(each, downloads, checksum)) if is_url(each) else each for each in given]
    if source == "cirrussearch":
        hint = "Download a dump from https://dumps.wikimedia.org/other/cirrussearch/ and give it with --input."
        files = [require_file(each, hint) for each in local]
    else:
        files = find_text_files(local)
    # Files of the corpus are called so; where a name is not UTF-8, characters stand for what is none.
    names_of = {path: os.fsencode(bare_name(path)).decode("utf-8", "replace") for path in files}
    names = Counter(names_of.values())
    doubled = [name for name, count in names.items() if count > 1]
    if doubled:
        raise UserError(f"Two input files are both called {doubled[0]}; sources need distinct names.")
    return sorted((Part(names_of[path], source, str(path)) for path in files), key=lambda part: part.name)
