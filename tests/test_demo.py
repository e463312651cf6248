"""The page in a real browser: type, run, read the answer; on a phone's width, by keyboard, nothing from outside."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import answers
from fast_models import run_script, write_data, write_finetuned
from mobilebert_ja.errors import UserError

APP = Path(answers.__file__).with_name("app.py")
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with tiny models of both tasks, fine-tuned and sped up."""
    folder = tmp_path_factory.mktemp("work")
    data = write_data(folder / "data")
    for task in ("livedoor", "ner"):
        write_finetuned(folder, data, task, [0])
        done = run_script("compress.py", folder, data, "--task", task)
        assert done.returncode == 0, done.stderr
    return folder


@contextlib.contextmanager
def running_page(work: Path):
    """The page's address, for as long as the block lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, str(APP), "--port", str(port), "--work_dir", str(work)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def address(work):
    with running_page(work) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no chromium here (Debian: apt install chromium)")
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
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    shown = context.new_page()
    shown.goto(address)
    expect(shown.get_by_role("heading", name="mobilebert-ja を試す")).to_be_visible(timeout=60_000)
    yield shown
    outside = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws")}
    assert outside == {"127.0.0.1"}
    context.close()


def no_sideways_scrolling(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_masks_are_filled(page):
    assert no_sideways_scrolling(page)
    panel = page.get_by_role("tabpanel")
    box = panel.get_by_label("1か所を [MASK] にした文")
    box.fill("富士山は日本で一番高い[MASK]です。")
    for form in ("高速化(int8、onnxruntime)", "そのまま(torch)"):
        panel.get_by_label(form).check()
        panel.get_by_role("button", name="穴を埋める").click()
        expect(panel.get_by_text(re.compile(r"かかった時間: [\d.]+ ms"))).to_be_visible(timeout=120_000)
        expect(panel.get_by_text("queue:", exact=False)).to_have_count(0, timeout=120_000)
        expect(panel.get_by_text(re.compile(r"^\d+%$"))).to_have_count(5)
    box.fill("穴のない文です。")
    box.press("Enter")
    expect(page.get_by_text("1か所を [MASK] にしてください", exact=False).first).to_be_visible(timeout=60_000)


def test_titles_by_keyboard(page):
    page.get_by_role("tab", name="題名").focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("tabpanel")
    panel.get_by_label("ニュースの題名").fill("サッカーの監督について聞いた")
    panel.get_by_label("ニュースの題名").press("Enter")
    expect(panel.get_by_text(re.compile(r"かかった時間: [\d.]+ ms"))).to_be_visible(timeout=120_000)
    expect(panel.get_by_text(re.compile(r"^\d+%$"))).to_have_count(3)
    assert no_sideways_scrolling(page)
    panel.get_by_label("ニュースの題名").fill("   ")
    panel.get_by_role("button", name="答える").click()
    expect(page.get_by_text("文を入力してください", exact=False).first).to_be_visible(timeout=60_000)


def test_names_are_marked_in_the_text(page, work):
    text = "田中太郎は京都市に住む。"
    found = answers.find_names(answers.Models(None, work / "compressed" / "ner" / "onnx", False), text, True).answer
    assert found  # the untrained model says something
    page.get_by_role("tab", name="名前").click()
    panel = page.get_by_role("tabpanel")
    panel.get_by_label("文", exact=True).fill(text)
    panel.get_by_role("button", name="答える").click()
    expect(panel.get_by_text(re.compile(r"かかった時間: [\d.]+ ms"))).to_be_visible(timeout=120_000)
    start, end, kind = found[0]
    expect(panel.get_by_text(text[start:end]).last).to_be_visible()
    expect(panel.get_by_text(kind).first).to_be_visible()
    assert no_sideways_scrolling(page)


def test_figures_are_shown(page):
    page.get_by_role("tab", name="速さ").click()
    panel = page.get_by_role("tabpanel")
    expect(panel.locator("img").first).to_be_visible(timeout=60_000)
    assert panel.locator("img").count() >= 2 and no_sideways_scrolling(page)


def test_without_models_it_says_what_makes_them(browser, tmp_path):
    with running_page(tmp_path) as address, opened(browser, address) as page:
        page.get_by_role("tab", name="題名").click()
        panel = page.get_by_role("tabpanel")
        expect(panel.get_by_text("make reproduce RECIPE=recipes/cpu.yaml DATA_DIR=DATA")).to_be_visible()
        expect(panel.get_by_role("button", name="小さなモデルを作る")).to_be_visible()


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


def test_the_real_models_go_before_the_tiny_ones(work, tmp_path):
    assert answers.find_models("livedoor", [tmp_path]) is None
    found = answers.find_models("livedoor", [tmp_path, work])
    assert found == answers.Models(work / "finetuned" / "livedoor", work / "compressed" / "livedoor" / "onnx", False)
    shutil.copytree(work / "compressed" / "livedoor", tmp_path / "tiny" / "compressed" / "livedoor")
    assert answers.find_models("livedoor", [tmp_path / "tiny", work]).practice
