"""Fetch the public data that models are judged on from their makers, and check that they are what the card speaks of.

    python scripts/download_data.py --data_dir data

Writes DATA_DIR/livedoor/ldcc-20140209.tar.gz (livedoor news corpus of RONDHUIT, CC BY-ND 2.1 JP) and
DATA_DIR/ner/ner.json (ner-wikipedia-dataset of stockmark, CC BY-SA 3.0). A file appears under its name once its
content has been checked, whatever server it came from. Interrupted, the same command goes on with it; what is there
already is checked and not fetched. An empty --url_livedoor or --url_ner leaves that one out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import sha256_of, write_json
from mobilebert_ja.common.folders import IDENTITY_NAME, require_ours
from mobilebert_ja.data.download import download
from mobilebert_ja.data.livedoor_archive import LIVEDOOR_FILE, articles_digest
from mobilebert_ja.settings import DownloadDataSettings, parse_settings
from mobilebert_ja.tasks.public.ner import NER_FILE

LIVEDOOR_DIGEST = "6d300839bbe2664b5650db249d1a93758bde970ea23053dfcfd04e64d3948fcd"
NER_DIGEST = "5796effb85c473aec5b85784545349ed42e408bb0fecdb78f82bc107d53edbe3"


@dataclass(frozen=True)
class Wanted:
    """A file that is told by its content.

    Attributes:
        setting: the flag with its address.
        digest_of: file -> digest of its content; raises `UserError` for a file of another kind.
    """

    target: Path
    url: str
    setting: str
    digest_of: Callable[[Path], str]
    digest: str

    def difference(self, path: Path) -> str:
        """What is wrong with a file; "" if it is the wanted one."""
        try:
            found = self.digest_of(path)
        except UserError:
            return "it is damaged or of another kind"
        return "" if found == self.digest else f"its content has SHA-256 {found}, not {self.digest}"


def fetch(wanted: Wanted) -> None:
    """Make `wanted.target`. Raises `UserError` if it is there and another file, or if another one comes."""
    target = wanted.target
    if target.exists():
        wrong = wanted.difference(target)
        if wrong:
            raise UserError(
                f"{target} is not the file of its makers ({wrong}); move it away to have that one fetched."
            )
        print(f"{target} is already there, and what it should be")
        return
    unchecked = target.with_name(target.name + ".unchecked")
    require_ours(unchecked, at_work=True, remedy="Move it away.")
    write_json(unchecked / IDENTITY_NAME, {"url": wanted.url})  # by which it is known as ours
    came = download(wanted.url, unchecked, by_hand=f"put it there as {target}")
    wrong = wanted.difference(came)
    if wrong:
        came.unlink()
        clear(unchecked)
        raise UserError(
            f"{wanted.url} gave another file than its makers' ({wrong}); it was not kept. --{wanted.setting} names "
            "another address."
        )
    os.replace(came, target)
    clear(unchecked)
    print(f"{target}: what it should be")


def clear(unchecked: Path) -> None:
    """Remove the folder of a download that has ended, or, if somebody put something into it, our mark in it."""
    (unchecked / IDENTITY_NAME).unlink()
    with contextlib.suppress(OSError):
        unchecked.rmdir()


@exit_on_user_error
def main() -> None:
    settings = parse_settings(DownloadDataSettings, __doc__)
    folder = Path(settings.data_dir)
    wanted = [
        Wanted(folder / LIVEDOOR_FILE, settings.url_livedoor, "url_livedoor", articles_digest, LIVEDOOR_DIGEST),
        Wanted(folder / NER_FILE, settings.url_ner, "url_ner", sha256_of, NER_DIGEST),
    ]
    for each in wanted:
        if each.url:
            fetch(each)


if __name__ == "__main__":
    main()
