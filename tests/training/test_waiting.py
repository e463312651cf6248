"""Whoever trains beside a busy neighbour waits for it without spinning, however the script was started."""

import ast
import os
import re
import sys

import pytest

from helpers.paths import SCRIPTS
from helpers.running.processes import run

FIRST = "\nimport mobilebert_ja.training.waiting  # noqa: F401\n"
LOADS_TORCH = re.compile(r"^(import|from) (torch|accelerate|transformers)\b", re.M)


def texts_of(path, seen):
    """The source of a script and of all of our modules that it imports, directly or not."""
    if path in seen or not path.is_file():
        return seen
    seen[path] = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(seen[path])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mobilebert_ja"):
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                place = SCRIPTS / name.replace(".", "/")
                texts_of(place.with_suffix(".py"), seen), texts_of(place / "__init__.py", seen)
    return seen


def test_every_script_that_loads_torch_says_first_that_threads_do_not_spin():
    scripts = {path.name: texts_of(path, {}) for path in SCRIPTS.glob("*.py")}
    loading = {name for name, texts in scripts.items() if any(map(LOADS_TORCH.search, texts.values()))}
    assert {"finetune.py", "pretrain.py", "distill.py", "guide_corpus.py", "compress.py"} <= loading
    for name in loading | {"measure.py"}:  # which imports what it measures with by its name
        text = scripts[name][SCRIPTS / name]
        torch, ours = LOADS_TORCH.search(text), text.find("from mobilebert_ja")
        assert 0 < text.find(FIRST) < min(ours, torch.start() if torch else ours), name


@pytest.mark.slow
@pytest.mark.parametrize(("set_by_the_user", "policy"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_libgomp_has_heard_of_it(set_by_the_user, policy, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "true", **({"OMP_WAIT_POLICY": set_by_the_user} if set_by_the_user else {})}
    done = run([sys.executable, SCRIPTS / "finetune.py", "--help"], tmp_path, env=environment)
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr, done.stderr
