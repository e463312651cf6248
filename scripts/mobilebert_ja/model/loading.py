"""What goes wrong when transformers or torch loads a model, in words that help whoever named it."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError

from mobilebert_ja.common.errors import first_line
from mobilebert_ja.common.files import is_git_lfs_pointer, without_git_lfs

_DAMAGED = (EOFError, UnpicklingError)  # their messages speak of how torch was called, not of the file
NOT_LOADED = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError, *_DAMAGED)
_WEIGHTS = ("*.safetensors", "*.bin")


def why_not_loaded(name_or_path: str | Path, error: BaseException) -> str:
    """The reason, for a message, of an `error` that is one of `NOT_LOADED`."""
    folder = Path(name_or_path)
    for path in sorted(each for pattern in _WEIGHTS for each in folder.glob(pattern)):
        if path.is_file() and is_git_lfs_pointer(path):
            return without_git_lfs(path)
    return "the weights are damaged" if isinstance(error, _DAMAGED) else first_line(error)
