"""Rooms stay small: a folder of code has at most eight files beside its `__init__.py`, which says what it is for."""

import ast
from pathlib import Path

from helpers.paths import ROOT

MOST = 8
PACKAGE = ROOT / "scripts" / "mobilebert_ja"


def files_by_folder(top: Path) -> dict[Path, list[Path]]:
    """The Python files of each folder of a tree that has some, without `__init__.py`."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(top.rglob("*.py")):
        found.setdefault(path.parent, [])
        if path.name != "__init__.py":
            found[path.parent].append(path)
    return found


def crowded(top: Path) -> list[str]:
    """The folders of a tree that have too many files."""
    return [str(folder.relative_to(top)) for folder, files in files_by_folder(top).items() if len(files) > MOST]


def test_no_room_has_more_than_eight_files():
    assert crowded(PACKAGE) == [] and crowded(ROOT / "tests") == []


def test_a_ninth_file_is_seen(tmp_path):
    for name in ("__init__", *"abcdefghi"):
        (tmp_path / "inner").mkdir(exist_ok=True)
        (tmp_path / "inner" / f"{name}.py").write_text("")
    assert crowded(tmp_path) == ["inner"]


def test_each_room_says_in_a_sentence_what_it_is_for():
    rooms = [folder for folder in files_by_folder(PACKAGE) if "evaluate_metrics" not in folder.parts]
    assert len(rooms) > 20
    for room in rooms:
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert text.partition("\n")[0].endswith("."), room
