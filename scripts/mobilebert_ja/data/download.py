"""Fetching one large file over HTTP: resumed where it stopped, with its size and checksum shown."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.progress import progress_bar

TIMEOUT_SECONDS = 10.0


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def digest_of(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def check_digest(path: Path, checksum: str) -> None:
    """Raises `UserError` unless the file has the digest `ALGORITHM:HEX`."""
    algorithm, _, expected = checksum.partition(":")
    if algorithm not in ("md5", "sha1", "sha256", "sha512") or not expected:
        raise UserError(f"--checksum must be md5:HEX, sha1:HEX, sha256:HEX or sha512:HEX, not '{checksum}'.")
    found = digest_of(path, algorithm)
    if found != expected.lower():
        raise UserError(f"{path} has {algorithm} {found}, expected {expected}; delete it to download it again.")


def _fetch(url: str, partial: Path) -> None:
    """Append what is missing of `url` to `partial`."""
    have = partial.stat().st_size if partial.exists() else 0
    validator = partial.with_name(partial.name + ".etag")
    headers = {"User-Agent": "mobilebert-ja", "Accept-Encoding": "identity"}
    if have and validator.is_file():
        # If-Range: a server whose file has changed since sends all of it, not the rest of another one.
        headers |= {"Range": f"bytes={have}-", "If-Range": validator.read_text()}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if tag:
            validator.write_text(tag)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = progress_bar(desc=partial.name, total=total, initial=have, unit="B", unit_scale=True)
        with open(partial, "ab" if resumed else "wb") as stream, bar:
            while block := answer.read(1 << 20):
                stream.write(block)
                bar.update(len(block))
    if total is not None and partial.stat().st_size != total:
        raise http.client.IncompleteRead(b"", total - partial.stat().st_size)
    validator.unlink(missing_ok=True)


def download(url: str, folder: Path, checksum: str | None = None, by_hand: str = "give the file with --input") -> Path:
    """The local copy of `url` in `folder`, fetched if it is not there; an interrupted download is continued.

    Args:
        by_hand: what to do with a file that was fetched by hand.

    Raises `UserError` if the server cannot be reached within seconds, naming what to fetch by hand and
    what to do with it, or if the file does not have the expected checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (Path(urllib.parse.urlparse(url).path).name or "download")
    partial = target.with_name(target.name + ".partial")
    if not target.exists():
        try:
            _fetch(url, partial)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, OSError) and not isinstance(
                error, urllib.error.URLError | TimeoutError | ConnectionError
            ):
                raise  # a full disk says so itself
            reason = getattr(error, "reason", error)
            raise UserError(
                f"{url} cannot be fetched ({reason}). Run the same command again to go on with it, or download it by "
                f"hand and {by_hand}."
            ) from None
        os.replace(partial, target)
        print(f"{target}: {target.stat().st_size:,} bytes, sha256 {digest_of(target, 'sha256')}")
    if checksum:
        check_digest(target, checksum)
    return target
