"""This model beside the best other one, in a sentence that says no more than the test part can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mobilebert_ja.card.scores import METRICS, MODELS, distance_to_best_other

IN_ENGLISH = {
    "-random": "MobileBERT without pretraining",
    "-bert": "BERT without pretraining",
    "-svm": "TF-IDF and a linear SVM",
    "-crf": "a linear-chain CRF",
}


@dataclass(frozen=True)
class Verdict:
    """This model less another.

    Attributes:
        ending: which other, a key of `card_scores.MODELS`.
        points: the difference; where answers were compared one by one, of those, else of the mean scores.
        interval: its 95 % interval in points; None if answers were not compared.
        overlap: whether the intervals of the two scores overlap; None where one of them is not known.
    """

    ending: str
    points: float
    interval: tuple[float, float] | None = None
    p: float | None = None
    items: int | None = None
    overlap: bool | None = None

    @property
    def may_be_chance(self) -> bool:
        return self.interval is not None and self.interval[0] <= 0 <= self.interval[1]


def interval_of(records: dict[str, Any], name: str, metric: str) -> list[float] | None:
    """The 95 % interval of a record's first run, as the card prints it."""
    runs = records.get(name, {}).get("metrics", {}).get("runs", [])
    return runs[0].get("intervals", {}).get(metric) if runs else None


def verdict(records: dict[str, Any], task: str) -> Verdict | None:
    """This model beside the other that records/comparison_TASK.json names, else beside the best other; None without
    one."""
    compared = records.get(f"comparison_{task}", {}).get("metrics")
    if compared:
        ending = next((each for each in MODELS if each and f"{task}{each}" in str(compared["first"])), "")
        low, high = compared["interval"]
        return Verdict(ending, 100 * compared["difference"], (100 * low, 100 * high), compared["p"], compared["items"])
    found = distance_to_best_other(records, task)
    if found is None:
        return None
    ending = next(each for each, title in MODELS.items() if title == found[0])
    own, theirs = (interval_of(records, f"{task}{each}", METRICS[task]) for each in ("", ending))
    overlap = own[0] <= theirs[1] and theirs[0] <= own[1] if own and theirs else None
    return Verdict(ending, 100 * found[1], overlap=overlap)


def spaced(name: str) -> str:
    """A name within a Japanese sentence, a space where it begins or ends in Latin letters."""
    return f"{' ' if name[0].isascii() else ''}{name}{' ' if name[-1].isascii() else ''}"


def in_japanese(records: dict[str, Any], task: str) -> str:
    """The sentences of the card; "" if there is nothing to compare with."""
    found = verdict(records, task)
    if found is None:
        return ""
    other = spaced(MODELS[found.ending] if found.ending else "比べた手法")
    if found.interval is None:
        ahead = found.points >= 0
        distance = f"{other}{'を' if ahead else 'に'} **{abs(found.points):.1f} ポイント"
        if found.overlap:
            words = "上回りますが" if ahead else "及びませんが"
            return f"このモデルは{distance}{words}、2つの 95 % 信頼区間は重なっています**。"
        return f"このモデルは{distance}{'上回ります' if ahead else '及びません'}**。"
    low, high = found.interval
    judged = "差は偶然の範囲です。" if found.may_be_chance else "偶然の範囲を超える差です。"
    return (
        f"同じ {found.items:,}件への答えを1件ずつ比べると、このモデルから{other}を引いた差は "
        f"**{found.points:+.1f} ポイント**(95 % 信頼区間 {low:+.1f} から {high:+.1f}、p = {found.p:.2g})です。{judged}"
    )


def in_english(records: dict[str, Any], task: str) -> str:
    """The same as a clause that begins with "it is"."""
    found = verdict(records, task)
    if found is None:
        return ""
    other = IN_ENGLISH.get(found.ending, "the model that it was compared with")
    distance = f"it is {abs(found.points):.1f} points {'ahead of' if found.points >= 0 else 'behind'} {other}"
    if found.interval is None:
        return distance + (", their 95 % intervals overlapping" if found.overlap else "")
    low, high = found.interval
    chance = ", within chance" if found.may_be_chance else ""
    return f"{distance} (95 % interval {low:+.1f} to {high:+.1f}, p = {found.p:.2g}{chance})"
