"""What the READMEs point at is there: links, figures in both colours, headings, files named in passing, commands."""

import re
from pathlib import Path

import pytest

from helpers.paths import ROOT, SCRIPTS

READMES = ("README.md", "records/README.md", "scripts/README.md", "demo/README.md", "CONTRIBUTING.md")
MODES = ("#hf-light-mode-only", "#hf-dark-mode-only")
PACKAGE = SCRIPTS / "mobilebert_ja"


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub and the Hub make it."""
    words = re.sub(r"[`*]|\]\(.*?\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(each) for each in re.findall(r"^#{1,6} (.+)$", without_code(text), flags=re.MULTILINE)}


def targets(text: str) -> list[str]:
    """Relative targets of links and images, with their anchors."""
    return re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", without_code(text))


def broken(path: Path) -> list[str]:
    """The relative links of a Markdown file that lead nowhere."""
    text = path.read_text(encoding="utf-8")
    found = []
    for target in targets(text):
        bare = next((target.removesuffix(mode) for mode in MODES if target.endswith(mode)), target)
        name, _, anchor = bare.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            found.append(target)
    return found


@pytest.mark.parametrize("name", READMES)
def test_links_lead_somewhere(name):
    assert broken(ROOT / name) == []


@pytest.mark.parametrize(("name", "figures"), [("README.md", 2), ("records/README.md", 9)])
def test_the_pages_show_each_figure_in_both_colours(name, figures):
    text = (ROOT / name).read_text(encoding="utf-8")
    light, dark = ([each.removesuffix(mode) for each in targets(text) if each.endswith(mode)] for mode in MODES)
    assert len(light) == figures and dark == [each.replace(".png", "-dark.png") for each in light]


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "there.png").write_bytes(b"")
    card = tmp_path / "README.md"
    card.write_text(
        "## A heading: 見出し(1)\n[a](#a-heading-見出し1) ![b](there.png#hf-light-mode-only) [c](https://example.com/x)\n"
        "![d](gone.png#hf-dark-mode-only) [e](#nowhere) [f](gone.md) [g](README.md#nowhere)\n```\n# [h](gone)\n```\n",
        encoding="utf-8",
    )
    assert broken(card) == ["gone.png#hf-dark-mode-only", "#nowhere", "gone.md", "README.md#nowhere"]


@pytest.mark.parametrize("name", READMES)
def test_files_named_in_passing_are_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    pattern = r"(?<![\w./])(?:scripts|recipes|records|examples|demo)/[\w./-]*\.(?:py|yaml|json|md|ipynb)"
    named = {each for each in re.findall(pattern, text) if "STAGE" not in each}
    assert {each for each in named if not (ROOT / each).is_file()} == set()
    assert name in ("demo/README.md", "records/README.md", "CONTRIBUTING.md") or len(named) > 5


@pytest.mark.parametrize("name", READMES)
def test_commands_of_make_are_there(name):
    text, makefile = ((ROOT / each).read_text(encoding="utf-8") for each in (name, "Makefile"))
    for command in re.findall(r"(?:^|`)make\s+([\w-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE), command


def is_there(reference: str) -> bool:
    """Whether `room.module` or `room.module.name` is one."""
    *place, name = reference.split(".")
    module = PACKAGE.joinpath(*place)
    if (module / f"{name}.py").is_file() or (module / name).is_dir():
        return True
    file = module.with_suffix(".py")
    return file.is_file() and re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) is not None


def test_modules_named_in_comments_are_there():
    # `settings.NAME` is a setting.
    rooms = "|".join(path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "settings")
    files = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    named = {each for text in files for each in re.findall(rf"`((?:{rooms})\.[\w.]+)`", text)}
    assert len(named) > 5 and {each for each in named if not is_there(each)} == set()
    assert not is_there("tasks.nothing") and not is_there("tasks.metrics.NOTHING")
