"""Default < recipe < command line; an unknown key is named with its nearest neighbour; every recipe is valid."""

import json
import re
import sys
from pathlib import Path

import pytest

from helpers.paths import RECIPES
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.plans import transfer_stage
from mobilebert_ja.road import ROAD, SCRIPTS, stages_of
from mobilebert_ja.settings import (
    AdaptSettings,
    CompressSettings,
    CorpusSettings,
    DistillSettings,
    FinetuneSettings,
    PretrainSettings,
    from_recipe,
    load_recipe,
    parse_settings,
)

ALL_RECIPES = sorted(RECIPES.glob("*.yaml"))


def parsed(monkeypatch, kind, *flags, section=None):
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, flags)])
    return parse_settings(kind, "what it does", section)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "seed: 5\nwork_dir: w\npretrain_teacher:\n  max_steps: 7\npretrain_student:\n  max_steps: 9\n"
        "  learning_rate: 3e-4\n  dropout: false\n"
    )
    return path


def test_precedence(monkeypatch, recipe):
    assert parsed(monkeypatch, PretrainSettings).max_steps == 1000
    student = parsed(monkeypatch, PretrainSettings, "--config", recipe)
    assert (student.max_steps, student.seed, student.learning_rate, student.dropout) == (9, 5, 3e-4, False)
    assert student.shards_dir == str(Path("w") / "shards")
    assert parsed(monkeypatch, PretrainSettings, "--config", recipe, "--model", "teacher").max_steps == 7
    assert parsed(monkeypatch, PretrainSettings, "--max_steps", "11", "--config", recipe).max_steps == 11


def test_choices(monkeypatch):
    with pytest.raises(UserError, match="--source must be one of 'text', 'cirrussearch', 'hub', not 'web'"):
        parsed(monkeypatch, CorpusSettings, "--source", "web", section=None)


@pytest.mark.parametrize(
    ("kind", "flag", "value", "least"),
    [
        (PretrainSettings, "max_seq_length", 7, 8),
        (DistillSettings, "eval_seq_length", 2, 8),
        (PretrainSettings, "max_steps", 0, 1),
        (CorpusSettings, "heldout_every", 1, 2),
    ],
)
def test_values_that_no_run_could_use(monkeypatch, kind, flag, value, least):
    with pytest.raises(UserError, match=f"--{flag} must be at least {least}, not {value}"):
        parsed(monkeypatch, kind, f"--{flag}", value)
    assert vars(parsed(monkeypatch, kind, f"--{flag}", least))[flag] == least


def test_the_size_of_files_is_read_before_anything_is_trained(monkeypatch):
    for size in ("16MB", "1.5 gb"):
        assert parsed(monkeypatch, PretrainSettings, "--max_shard_size", size).max_shard_size == size
    for size in ("16MiB", "16", "MB", "-1MB"):
        with pytest.raises(UserError, match=f"--max_shard_size must be a number of KB, MB, GB or TB.* not '{size}'"):
            parsed(monkeypatch, PretrainSettings, f"--max_shard_size={size}")


def test_a_transfer_has_steps_of_one_kind_at_least(monkeypatch):
    distilling = parsed(monkeypatch, DistillSettings, "--transfer_steps", 0, "--max_steps", 0)
    with pytest.raises(UserError, match="--transfer_steps and --max_steps are both 0"):
        transfer_stage(distilling)
    timed = parsed(monkeypatch, DistillSettings, "--strategy", "akt", "--max_train_seconds", 60)
    with pytest.raises(UserError, match="--max_train_seconds is for what follows the transfer"):
        transfer_stage(timed)


def test_a_sections_former_name_is_read(monkeypatch, tmp_path):
    (tmp_path / "r.yaml").write_text("compress_ner: {prune_amount: 0.5}\n")
    flags = ["--config", tmp_path / "r.yaml", "--task", "ner", "--treatment"]
    assert parsed(monkeypatch, CompressSettings, *flags, "card").prune_amount == 0.5
    assert parsed(monkeypatch, CompressSettings, *flags, "onnx").prune_amount == 0.2
    (tmp_path / "r.yaml").write_text("compress_ner: {}\ncompress_ner_card: {}\n")
    with pytest.raises(UserError, match="former name 'compress_ner'"):
        load_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sed: 1\n", "unknown key 'sed'. Did you mean 'seed'"),
        ("distil: {}\n", "unknown key 'distil'. Did you mean 'distill'"),
        (
            "distill:\n  learning_rat: 1\n",
            "section 'distill': unknown key 'learning_rat'. Did you mean 'learning_rate'",
        ),
        ("distill: 3\n", "section 'distill' must hold keys"),
        ("- a\n", "must hold keys and sections"),
        ("a: [1\n", "is not valid YAML"),
        ("seed: 1\nseed: 2\n", "is not valid YAML: 'seed' stands there twice"),
        ("distill:\n  seed: 1\n  seed: 2\n", "is not valid YAML: 'seed' stands there twice"),
        ("? [a]\n: 1\n", "is not valid YAML"),
        ("seed: " + "[" * 50_000, "is not valid YAML: maximum recursion depth"),
        ("seed: " + "1" * 5000, "holds a number of too many digits"),
    ],
)
def test_mistakes_in_a_recipe(tmp_path, content, message):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_recipe(tmp_path / "r.yaml")


def test_values_of_the_wrong_kind(tmp_path):
    for line, message in (
        ("max_steps: many", "max_steps must be a int"),
        ("max_steps: 1.7", "max_steps must be a int, not 1.7"),
        ("max_steps: .inf", "max_steps must be a int, not inf"),
        ("max_steps: true", "max_steps must be a int, not True"),
        ("max_steps: null", "max_steps must be a int, not None"),
        ("dropout: 2", "dropout must be true or"),
        ("dropout: null", "dropout must be true or"),
        ("word_embeddings: {a: b}", "word_embeddings must be a value, not keys"),
        ("word_embeddings: [a, b]", r"word_embeddings must be text, not \['a', 'b'\]"),
        ("word_embeddings: true", "word_embeddings must be text, not True"),
        ("mixture: {aozora: 0.3}", "mixture must be a value, not keys"),
        ("mixture: null", "mixture must be text, not None"),
        ("num_hidden_layers: 6.5", "num_hidden_layers must be a int, not 6.5"),
        ("num_hidden_layers: [6]", r"num_hidden_layers must be a int, not \[6\]"),
        ("guide_row_weight: much", "guide_row_weight must be a float, not 'much'"),
    ):
        (tmp_path / "r.yaml").write_text(f"pretrain_student:\n  {line}\n")
        with pytest.raises(UserError, match=message):
            from_recipe("pretrain_student", PretrainSettings, str(tmp_path / "r.yaml"))


def test_values_of_settings_without_a_default_have_their_type(monkeypatch, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("data_dir: 2024\npretrain_student: {num_hidden_layers: 6.0, guide_row_weight: 1, guide: null}\n")
    student = parsed(monkeypatch, PretrainSettings, "--config", path)
    found = (student.data_dir, student.num_hidden_layers, student.guide_row_weight, student.guide)
    assert repr(found) == repr(("2024", 6, 1.0, None))
    path.write_text("adapt: {text_file: [a.txt, 2024], exclude_file: b.txt}\n")
    adapting = parsed(monkeypatch, AdaptSettings, "--config", path)
    assert (adapting.text_file, adapting.exclude_file) == (["a.txt", "2024"], "b.txt")
    path.write_text("adapt: {text_file: [a.txt, [b.txt]]}\n")
    with pytest.raises(UserError, match=r"text_file must be text, not \['b.txt'\]"):
        parsed(monkeypatch, AdaptSettings, "--config", path)


def test_the_guides_recipes_for_a_cluster_are_read(monkeypatch, tmp_path):
    """With the options as they reach datatrove's executor."""
    guide = (SCRIPTS / "README.md").read_text(encoding="utf-8").partition("\n## On a cluster\n")[2]
    found = {}
    for block in re.findall(r"```yaml\n(.*?)```", guide.partition("\n## ")[0], re.DOTALL):
        (tmp_path / "r.yaml").write_text(block)
        corpus = parsed(monkeypatch, CorpusSettings, "--config", tmp_path / "r.yaml")
        found[corpus.executor] = json.loads(corpus.executor_options)
    assert found == {
        "slurm": {"partition": "cpu", "time": "02:00:00", "mem_per_cpu_gb": 2, "qos": ""},
        "ray": {"cpus_per_task": 1, "mem_per_cpu_gb": 2},
    }


@pytest.mark.parametrize("path", ALL_RECIPES, ids=[path.stem for path in ALL_RECIPES])
def test_every_recipe_is_valid(path):
    for stage in ROAD:
        from_recipe(stage.section, stage.settings, str(path))
    assert stages_of(load_recipe(path))[-1].section == "render_card"


def test_the_papers_weights_are_the_defaults():
    d = DistillSettings()
    weights = (d.feature_map_weight, d.attention_weight, d.mean_weight, d.variance_weight, d.ground_truth_ratio)
    assert weights == (100.0, 1.0, 5000.0, 5.0, 0.5) and d.strategy == "pkt"


def test_fine_tuning_has_the_cards_conditions():
    """10 epochs at 1e-4, three seeds in the paper's recipe; they are rows of the published card's table."""
    for task in ("livedoor", "ner"):
        of_paper = from_recipe(f"finetune_{task}", FinetuneSettings, str(RECIPES / "paper.yaml"))
        assert (of_paper.num_train_epochs, of_paper.learning_rate, of_paper.num_seeds) == (10, 1e-4, 3)
    d = FinetuneSettings()
    assert (d.num_train_epochs, d.num_seeds) == (10, 3)
    assert (d.split_seed, d.train_share, d.test_share) == (0, 1.0, 0.2)


def test_every_stage_has_a_script_and_a_name_of_its_own():
    assert len({stage.section for stage in ROAD}) == len(ROAD)
    assert all((SCRIPTS / stage.script).is_file() for stage in ROAD)
    libraries = {"accelerate", "evaluate", "datasets", "tokenizers", "transformers", "torch", "numpy"}
    assert not {path.stem for path in SCRIPTS.glob("*.py")} & libraries  # they would shadow the library
