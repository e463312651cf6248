"""The page in a real browser: type, run, read the answer; on a phone's width, by keyboard, nothing from outside."""

import contextlib
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

import answers
import compress
from helpers.files.own_files import table
from helpers.files.task_data import write_student, write_tokenizer
from helpers.models.families import make_family
from helpers.models.fast_models import write_data, write_finetuned
from helpers.paths import SCRIPTS
from helpers.running.own_server import free_port, serving
from helpers.running.printed_commands import run_line
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json

APP = Path(answers.__file__).with_name("app.py")
PATIENCE = 1_500_000  # milliseconds for what the page shows at last: only what hangs takes longer
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with tiny models of both tasks, fine-tuned and sped up; two that differ, so that it shows which of
    them answered."""
    folder = tmp_path_factory.mktemp("work")
    data = write_data(folder / "data")
    for task in ("livedoor", "ner"):
        write_finetuned(folder, data, task, [1])
        done = call_entry(compress, "--work_dir", folder, "--data_dir", data, "--task", task)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(folder / "finetuned" / task)
        write_finetuned(folder, data, task, [0])
    return folder


@contextlib.contextmanager
def running_page(work: Path, *app: str, **variables: str):
    """The page's address, for as long as the block lasts; `app`: arguments of Python, none for the page itself."""
    port = free_port()
    command = [sys.executable, *(app or (str(APP),)), "--port", str(port), "--work_dir", str(work)]
    with serving(port, command, os.environ | {"OMP_NUM_THREADS": "1"} | variables):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address(work):
    with running_page(work) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no chromium here (Debian: apt install chromium)")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        shown = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield shown
        shown.close()


@pytest.fixture
def page(browser: Browser, address: str):
    with opened(browser, address) as shown:
        yield shown


@contextlib.contextmanager
def opened(browser: Browser, address: str):
    """The page on a phone's width; every request that it makes goes to this machine."""
    context = browser.new_context(viewport=PHONE, locale="ja-JP")
    context.set_default_timeout(PATIENCE)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    shown = context.new_page()
    shown.goto(address)
    expect(shown.get_by_role("heading", name="mobilebert-ja を試す")).to_be_visible()
    for name in ("題名", "穴埋め"):  # to another tab and back: from here on it takes notice of what is done to it
        open_tab(shown, name)
    yield shown
    outside = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws")}
    assert outside == {"127.0.0.1"}
    context.close()


def open_tab(page: Page, name: str, key: str | None = None) -> None:
    """Click it, or press a key on it, until it is open: what is done to a page that is still being built, as after a
    reload, goes nowhere."""
    tab = page.get_by_role("tab", name=name)
    while tab.get_attribute("aria-selected") != "true":
        if key:
            tab.press(key)
        else:
            tab.click()
        page.wait_for_timeout(200)


def no_sideways_scrolling(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_masks_are_filled(page):
    assert no_sideways_scrolling(page)
    panel = page.get_by_role("tabpanel")
    box = panel.get_by_label("1か所を [MASK] にした文")
    box.fill("富士山は日本で一番高い[MASK]です。")
    for form in ("高速化(int8、onnxruntime)", "そのまま(torch)"):
        panel.get_by_label(form).check()
        panel.get_by_role("button", name="穴を埋める").click()
        expect(panel.get_by_text(re.compile(r"かかった時間: [\d.]+ ms"))).to_be_visible()
        expect(panel.get_by_text("queue:", exact=False)).to_have_count(0)
        expect(panel.get_by_text(re.compile(r"^\d+%$"))).to_have_count(5)
    box.fill("穴のない文です。")
    box.press("Enter")
    expect(page.get_by_text("1か所を [MASK] にしてください", exact=False).first).to_be_visible()


FORMS = {True: "高速化(int8、onnxruntime)", False: "そのまま(torch)"}


def answered(page: Page, panel: Locator) -> None:
    """Wait until the answer is there."""
    expect(panel.get_by_text(re.compile(r"かかった時間: [\d.]+ ms"))).to_be_visible()
    expect(page.locator(".generating, .pending")).to_have_count(0)


@pytest.mark.slow
def test_titles_by_keyboard_and_by_either_model(page, work):
    text = "サッカーの監督について聞いた"
    open_tab(page, "題名", key="Enter")
    panel = page.get_by_role("tabpanel")
    models = answers.find_models("livedoor", [work])
    answered_by = {fast: answers.classify(models, text, fast).answer for fast in FORMS}
    assert max(abs(answered_by[True][label] - share) for label, share in answered_by[False].items()) > 0.05
    for fast, form in FORMS.items():
        panel.get_by_label(form).check()
        panel.get_by_label("ニュースの題名").fill(text)
        panel.get_by_label("ニュースの題名").press("Enter")
        answered(page, panel)
        for label, share in answered_by[fast].items():
            row = panel.locator("button, .confidence-set", has_text=label).first
            expect(row).to_contain_text(f"{round(100 * share)}%")
    assert no_sideways_scrolling(page)
    panel.get_by_label("ニュースの題名").fill("   ")
    panel.get_by_role("button", name="答える").click()
    expect(page.get_by_text("文を入力してください", exact=False).first).to_be_visible()


@pytest.mark.slow
def test_names_are_marked_in_the_text_by_either_model(page, work):
    text = "田中太郎は京都市に住む。"
    open_tab(page, "名前")
    panel = page.get_by_role("tabpanel")
    models = answers.find_models("ner", [work])
    answered_by = {fast: answers.find_names(models, text, fast).answer for fast in FORMS}
    assert all(answered_by.values()) and answered_by[True] != answered_by[False]  # untrained, they say something
    for fast, form in FORMS.items():
        panel.get_by_label(form).check()
        panel.get_by_label("文", exact=True).fill(text)
        panel.get_by_role("button", name="答える").click()
        answered(page, panel)
        marked = panel.locator("span.highlighted")
        expect(marked).to_have_count(len(answered_by[fast]))
        for place, (start, end, kind) in enumerate(answered_by[fast]):
            expect(marked.nth(place)).to_contain_text(text[start:end])
            expect(marked.nth(place)).to_contain_text(kind)
        assert no_sideways_scrolling(page)


@pytest.mark.slow
def test_figures_are_shown(page):
    open_tab(page, "速さ")
    panel = page.get_by_role("tabpanel")
    expect(panel.locator("img").first).to_be_visible()
    assert panel.locator("img").count() >= 2 and no_sideways_scrolling(page)


@pytest.mark.slow
def test_the_way_with_a_large_model_is_shown(page):
    page.get_by_role("button", name="手元のデータと大きいモデルから作る").click()
    expect(page.get_by_text("大きいモデルの答えにも学んだ", exact=False)).to_be_visible()
    expect(page.locator("code", has_text="--teacher work/large,svm")).to_be_visible()
    assert no_sideways_scrolling(page)


@pytest.mark.slow
def test_its_commands_as_printed(tmp_path, monkeypatch, capfd):
    """In the folder of a clone with tiny models: one in the root, one in the large one's place."""
    write_student(tmp_path, write_tokenizer(tmp_path / "tokenizer"))
    (tmp_path / "scripts").symlink_to(SCRIPTS)
    rows = [
        (f"{thing}{words}", label) for thing in "音色形" for words, label in (("が良い", "良い"), ("が悪い", "悪い"))
    ]
    (tmp_path / "reviews.csv").write_text(table(rows), encoding="utf-8")
    (tmp_path / "texts.txt").write_text("画面が良い\n電池が悪い\n値段が良い\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    large = "intfloat/multilingual-e5-small"
    assert answers.OWN_DATA.count(large) == 1
    commands = answers.OWN_DATA.replace(large, str(make_family("e5", tmp_path / "e5"))).replace("\\\n", "")
    for line in commands.splitlines():
        capfd.readouterr()
        run_line(line, monkeypatch)
    assert json.loads(capfd.readouterr().out)["label"] in ("良い", "悪い")
    metrics = read_json(tmp_path / "work" / "finetuned" / "classification-silver" / "record.json")["metrics"]
    assert metrics["silver"]["learned"] == 3


WITH_ANOTHER_ROAD = """
import sys; sys.path.insert(0, {demo!r})
import app; app.SMALL = [sys.executable, "-c", {road!r}]; app.main()
"""
# It fails where there is no room yet.
ROAD = """
import os, shutil, sys
if not os.path.exists({room!r}):
    print("no room"); sys.exit(1)
print("one stage after another"); shutil.copytree({work!r}, {target!r}, dirs_exist_ok=True)
"""


def reached_from_elsewhere(address: str) -> bool:
    """127.0.0.2 is this machine by another address: a page bound to 127.0.0.1 does not answer there."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.2", urlsplit(address).port)) == 0


@pytest.mark.slow
def test_without_models_it_says_what_makes_them_and_makes_small_ones(browser, work, tmp_path):
    """The road itself is walked elsewhere; here another command leaves its models, once it does not stop."""
    models, room = tmp_path / "models", tmp_path / "room"
    road = ROAD.format(room=str(room), work=str(work), target=str(models))
    app = ("-c", WITH_ANOTHER_ROAD.format(demo=str(APP.parent), road=road))
    with running_page(models, *app, GRADIO_SERVER_NAME="0.0.0.0") as address, opened(browser, address) as page:
        assert reached_from_elsewhere(address)  # as the environment says
        open_tab(page, "題名")
        panel = page.get_by_role("tabpanel")
        expect(panel.locator("code", has_text="finetune.py --config recipes/gpu.yaml")).to_be_visible()
        make, log = panel.get_by_role("button", name="小さなモデルを作る"), panel.get_by_label("進み具合")
        make.click()
        expect(log).to_have_value("no room\n途中で止まりました。")
        room.touch()
        make.click()
        expect(log).to_have_value("one stage after another\nできました。ページを読み込み直してください。")
        page.reload()  # as it says; and now they are there
        expect(page.get_by_role("heading", name="mobilebert-ja を試す")).to_be_visible()
        open_tab(page, "題名")
        panel.get_by_label("ニュースの題名").fill("野球の試合")
        panel.get_by_role("button", name="答える").click()
        answered(page, panel)


@pytest.mark.slow
def test_other_machines_do_not_reach_it_unless_the_environment_says_so(address):
    assert not reached_from_elsewhere(address)


def test_it_is_ready_to_be_a_space():
    root = APP.parents[1]
    head = yaml.safe_load((root / "demo" / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert head["sdk"] == "gradio" and (root / head["app_file"]).samefile(APP)
    assert f"gradio=={head['sdk_version']}" in (root / "requirements-demo.txt").read_text().splitlines()
    needed = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (root / "pyproject.toml").read_text())
    assert needed and tuple(map(int, head["python_version"].split("."))) >= (int(needed[1]), int(needed[2]))


def test_both_forms_fill_alike(tmp_path):
    text = "東京は日本[MASK]首都である。"
    plain, fast = (answers.fill_mask(text, fast, folder=tmp_path).answer for fast in (False, True))
    best = next(iter(plain))
    assert next(iter(fast)) == best and len(plain) == len(fast) == 5
    assert plain[best] == pytest.approx(fast[best], abs=0.1)
    model = tmp_path / "model_quantized.onnx"
    stamp = model.stat().st_mtime_ns
    answers.mask_session.cache_clear()
    answers.fill_mask(text, True, folder=tmp_path)
    assert model.stat().st_mtime_ns == stamp  # made once


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "文を入力"), ("穴なし", "1か所"), ("[MASK]と[MASK]", "1か所"), ("[MASK]" + "長" * 2000, "2000文字まで")],
)
def test_questions_that_have_no_answer(text, words):
    with pytest.raises(UserError, match=words):
        answers.fill_mask(text, True)


@pytest.mark.parametrize("fast", [False, True])
def test_both_forms_take_as_many_tokens_around_a_mask_as_there_are_positions(tmp_path, fast):
    """Wherever the mask stands: one that is cut off with the end of the text has no answer."""
    for text in ("雨" * 509 + "[MASK]", "雨" * 200 + "[MASK]" + "雨" * 309):
        assert len(answers.fill_mask(text, fast, folder=tmp_path).answer) == 5
    for text in ("雨" * 510 + "[MASK]", "[MASK]" + "雨" * 510):
        with pytest.raises(UserError, match="長すぎます"):
            answers.fill_mask(text, fast, folder=tmp_path)


@pytest.mark.slow
def test_the_real_models_go_before_the_tiny_ones(work, tmp_path):
    assert answers.find_models("livedoor", [tmp_path]) is None
    found = answers.find_models("livedoor", [tmp_path, work])
    assert found == answers.Models(work / "finetuned" / "livedoor", work / "compressed" / "livedoor" / "onnx", False)
    shutil.copytree(work / "compressed" / "livedoor", tmp_path / "tiny" / "compressed" / "livedoor")
    assert answers.find_models("livedoor", [tmp_path / "tiny", work]).practice
