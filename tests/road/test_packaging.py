"""What `pip install` of a clone brings: the package, what its answers need, and no torch unless it is asked for."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from helpers.files.task_data import SUBJECTS, write_tokenizer
from helpers.models.fast_models import tiny_model
from helpers.paths import ROOT
from helpers.running.processes import WITHOUT_TORCH
from mobilebert_ja.compression.onnx.export import export
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.model.checkpoint import save_model

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = {"onnxruntime", "fugashi", "unidic-lite", "tokenizers", "numpy"}


def packages_of(*extras):
    """Names of the packages that an installation with these extras asks for, extras of extras followed."""
    wanted, pending = set(), [*PROJECT["dependencies"], *(f"{PROJECT['name']}[{extra}]" for extra in extras)]
    while pending:
        name, inner = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", pending.pop()).groups()
        if name == PROJECT["name"]:
            pending += [each for extra in inner.split(",") for each in PROJECT["optional-dependencies"][extra]]
        else:
            wanted.add(name.lower().replace("_", "-"))
    return wanted


def test_what_each_extra_brings():
    assert packages_of() == packages_of("runtime") == RUNTIME
    assert {"torch", "transformers", "onnx"} < packages_of("train") < packages_of("demo")
    assert packages_of("train") <= pinned_in("requirements.txt")  # what is tested is what is asked for


def pinned_in(name):
    """Names of the packages of a requirements file."""
    requirements = (ROOT / name).read_text(encoding="utf-8")
    return {each.lower().replace("_", "-") for each in re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE)}


def imported_by(path):
    """Packages from elsewhere that a module of the tests imports, those of the modules of the tests behind it too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        given = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [each.name for each in getattr(node, "names", [])]
        )
        for module in given if isinstance(node, ast.Import | ast.ImportFrom) else ():
            own = (ROOT / "tests").joinpath(*module.split(".")).with_suffix(".py")
            names |= imported_by(own) if own.is_file() else {module.split(".")[0]}
    return names - sys.stdlib_module_names


def test_the_environment_of_the_older_transformers_has_what_its_test_imports():
    tests = ROOT / "tests"
    imported = imported_by(tests / "conftest.py") | imported_by(tests / "model" / "test_root_checkpoint.py")
    assert {"pytest", "torch", "transformers"} < imported
    assert {name.replace("_", "-") for name in imported} <= pinned_in("requirements-v4.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "scripts", folder / "clone" / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, folder / "clone")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "-w", folder, folder / "clone"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    scripts = ROOT / "scripts"
    files = {path.relative_to(scripts) for path in (scripts / "mobilebert_ja").rglob("*") if path.is_file()}
    assert names == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert {"mobilebert_ja/card/card.md", "mobilebert_ja/tasks/public/ner.py"} < names


@pytest.mark.slow
def test_the_installed_package_answers_without_torch(wheel, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    save_model(tiny_model("livedoor", list(SUBJECTS), size), tokenizer, tmp_path / "finetuned")
    export(*load_finetuned(tmp_path / "finetuned", "livedoor", 24), tmp_path / "livedoor" / "onnx", "onnx", {})
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    program = WITHOUT_TORCH + (
        "import json, mobilebert_ja\n"
        "from mobilebert_ja.runtime import load\n"
        "answer = load('livedoor').predict_one('野球の試合')\n"
        "print(json.dumps([mobilebert_ja.__file__, answer.label]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    file, label = json.loads(done.stdout)
    assert file == str(tmp_path / "installed" / "mobilebert_ja" / "__init__.py") and label in SUBJECTS
