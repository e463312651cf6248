"""A page to try the model on: masks, titles and names, each with the time it took.

    make demo            # or: python demo/app.py --port 7860

It uses what is in this folder: the checkpoint in the root, and the fine-tuned and sped-up models that the road left in
work/. Where there are none it says what makes them, and makes small ones on request. No request leaves the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

sys.path.insert(0, str(Path(__file__).resolve().parent))

import answers
from answers import ROOT, Models, Timed
from mobilebert_ja.common.errors import UserError

PLAIN, FAST = "そのまま(torch)", "高速化(int8、onnxruntime)"
FIGURES = {
    "time.png": "1件の推論時間",
    "score.png": "精度と推論時間",
    "pretraining.png": "事前学習の損失",
    "confusion.png": "題名分類の混同行列",
}
TITLES = [
    "新型スマートフォンの予約受付を開始、発売は来月",
    "なでしこジャパン、延長戦の末に逆転勝利",
    "独身女性が結婚前に確認しておきたいこと",
]
SENTENCES = [
    "田中太郎は1990年に京都大学を卒業し、任天堂に入社した。",
    "夏目漱石の『坊っちゃん』は、愛媛県松山市を舞台とする小説である。",
]
MASKED = ["東京は日本[MASK]首都である。", "彼は東京大学を[MASK]した。", "富士山は日本で一番高い[MASK]です。"]
SMALL = [sys.executable, "scripts/reproduce.py", "--config", "recipes/tiny.yaml", "--work_dir", "work/tiny"]
CSS = ".gradio-container {max-width: 860px !important} .time {font-variant-numeric: tabular-nums}"


def shown(ask: Any, *given: Any) -> Timed:
    """The answer, or what is wrong with the question as a message on the page."""
    try:
        return ask(*given)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None


def words_of(result: Timed) -> str:
    return f"かかった時間: **{result.milliseconds:.1f} ms**(モデルを読み込む時間を除く、1スレッドまたは torch の既定)"


def fill(text: str, form: str) -> tuple[dict[str, float], str]:
    result = shown(answers.fill_mask, text, form == FAST)
    return result.answer, words_of(result)


def highlighted(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str | None]]:
    """A text in pieces, each with its type or None, in the order of the text."""
    pieces: list[tuple[str, str | None]] = []
    end_of_last = 0
    for start, end, kind in sorted(spans):
        if end_of_last < start:
            pieces.append((text[end_of_last:start], None))
        pieces.append((text[start:end], kind))
        end_of_last = end
    if end_of_last < len(text):
        pieces.append((text[end_of_last:], None))
    return pieces


def make_small_models() -> Iterator[str]:
    """Walk the road at its smallest; yields its last lines."""
    process = subprocess.Popen(SMALL, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines = [*lines, line.rstrip()[-160:]][-12:]
        yield "\n".join(lines)
    done = process.wait() == 0
    yield "\n".join([*lines, "できました。ページを読み込み直してください。" if done else "途中で止まりました。"])


def task_tab(task: str, models: Models | None, examples: list[str], label: str, output: Any, ask: Any) -> None:
    """Text in, answer out; or what to do where there is no model."""
    if models is None:
        gr.Markdown(
            "このタスクに微調整したモデルが、まだありません。リポジトリの根で、次の命令で作れます"
            "(`make setup && . .venv/bin/activate` のあとで。"
            f"学習は、記録では1コアで {answers.training_minutes(task)} 分)。\n\n"
            f"```bash\n{answers.MAKE.format(task=task)}```\n\n"
            "見本の文章で、全工程を小さく数分で動かすこともできます(精度は期待できません)。"
        )
        log = gr.Textbox(label="進み具合", lines=12, interactive=False)
        gr.Button("小さなモデルを作る").click(make_small_models, outputs=log, api_name=False)
        return
    if models.practice:
        gr.Markdown("**練習用の小さなモデルです。** 機械的に作った見本の文章で学習しており、答えは当てになりません。")
    box = {"lines": 1, "max_lines": 6, "max_length": answers.LONGEST}
    text = gr.Textbox(label=label, value=examples[0], interactive=True, **box)
    forms = [form for form, folder in ((PLAIN, models.plain), (FAST, models.fast)) if folder]
    form = gr.Radio(forms, value=forms[-1], label="モデル", interactive=True)
    button = gr.Button("答える", variant="primary")
    result = output()
    took = gr.Markdown(elem_classes="time")
    gr.Examples(examples, text, label="例")
    for event in (button.click, text.submit):
        event(lambda text, form: ask(models, text, form), [text, form], [result, took], api_name=False)


def classify(models: Models, text: str, form: str) -> tuple[dict[str, float], str]:
    result = shown(answers.classify, models, text, form == FAST)
    return result.answer, words_of(result)


def find_names(models: Models, text: str, form: str) -> tuple[list[tuple[str, str | None]], str]:
    result = shown(answers.find_names, models, text, form == FAST)
    return highlighted(text, result.answer), words_of(result)


def build(work_dirs: Callable[[], list[Path]]) -> gr.Blocks:
    """The page, with the models found in `work_dirs` whenever it is loaded: there may be more than before."""
    with gr.Blocks(title="mobilebert-ja", analytics_enabled=False) as page:
        gr.Markdown(
            "# mobilebert-ja を試す\nCPU で速く動く小さな日本語モデルです。計算はこの計算機の中だけで行われます。"
        )
        with gr.Tab("穴埋め"):
            text = gr.Textbox(
                label="1か所を [MASK] にした文", value=MASKED[0], lines=1, max_lines=6, max_length=answers.LONGEST
            )
            form = gr.Radio([PLAIN, FAST], value=FAST, label="モデル")
            button = gr.Button("穴を埋める", variant="primary")
            result = gr.Label(label="上位5つ", num_top_classes=5)
            took = gr.Markdown(elem_classes="time")
            gr.Examples(MASKED, text, label="例")
            for event in (button.click, text.submit):
                event(fill, [text, form], [result, took], api_name="fill_mask")
        with gr.Tab("題名"):

            @gr.render()
            def titles() -> None:
                classes = lambda: gr.Label(label="分類", num_top_classes=9)  # noqa: E731
                models = answers.find_models("livedoor", work_dirs())
                task_tab("livedoor", models, TITLES, "ニュースの題名", classes, classify)

        with gr.Tab("名前"):

            @gr.render()
            def names() -> None:
                marked = lambda: gr.HighlightedText(label="見つけた名前", combine_adjacent=False)  # noqa: E731
                task_tab("ner", answers.find_models("ner", work_dirs()), SENTENCES, "文", marked, find_names)

        with gr.Tab("速さ"):
            gr.Markdown("このリポジトリの記録から描いた図です。表と条件は README.md にあります。")
            for name, title in FIGURES.items():
                path = ROOT / "records" / "figures" / name
                if path.is_file():
                    gr.Image(str(path), label=title, interactive=False, buttons=[])
        with gr.Accordion("手元のデータと大きいモデルから作る", open=False):
            gr.Markdown(
                "ラベルの付いた表 `reviews.csv`(列は `text` と `label`)と、ラベルのない文 `texts.txt`(1行に1文)から、"
                "大きいモデルの答えにも学んだ、速い分類器を作れます。リポジトリの根で:\n\n"
                f"```bash\n{answers.OWN_DATA}```\n\n"
                "大きいモデルがなければ、最初の命令を飛ばして `--teacher svm` とします。"
                "固有表現などほかの場合は `scripts/README.md` にあります。"
            )
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=None, help="none: 7860, or the next one that is free")
    parser.add_argument("--host", help="0.0.0.0: for other machines, too; none: GRADIO_SERVER_NAME or 127.0.0.1")
    parser.add_argument("--work_dir", action="append", help="where the models are; none: the road's own folders")
    given = parser.parse_args()
    page = build(lambda: [Path(each) for each in given.work_dir] if given.work_dir else answers.work_dirs())
    # A theme without web fonts, so that nothing is fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    page.launch(server_name=given.host, server_port=given.port, share=False, theme=theme, css=CSS)


if __name__ == "__main__":
    main()
