"""Shards of made-up sentences in which animals and places keep their own company."""

from pathlib import Path

import numpy as np

from helpers.files.random_shards import write_sources
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS

WORDS = ["犬", "猫", "走る", "寝る", "東京", "大阪", "行く", "住む", "珍"]
VOCABULARY = {token: number for number, token in enumerate([*SPECIAL_TOKENS, *WORDS])}
DOG, CAT, RUN, SLEEP, TOKYO, OSAKA, GO, LIVE, RARE = range(len(SPECIAL_TOKENS), len(VOCABULARY))


def write_shards(folder: Path, **sources: list[list[list[int]]]) -> Path:
    return write_sources(folder, VOCABULARY, **sources)


def company(seed: int, sentences: int = 400) -> list[list[list[int]]]:
    """Animals that do what animals do, and places where people do what they do there."""
    rng = np.random.default_rng(seed)
    animals, places = ([DOG, CAT], [RUN, SLEEP]), ([TOKYO, OSAKA], [GO, LIVE])
    kinds = [(animals, places)[int(rng.integers(2))] for _ in range(sentences)]
    return [[[int(rng.choice(subjects)), int(rng.choice(verbs))] * 10 for subjects, verbs in kinds]]
