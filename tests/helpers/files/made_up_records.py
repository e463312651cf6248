"""Records as stages write them, made up, and the pages that they render."""

import copy

from helpers.paths import SCRIPTS
from mobilebert_ja.card import render as card

TEMPLATES = [SCRIPTS / "mobilebert_ja" / "card" / name for name in ("card.md", "report.md", "guide.md")]


def finetuned(scores: list[float], details: dict, pretrained: bool = True) -> dict:
    mean = sum(scores) / len(scores)
    return {
        "settings": {"num_train_epochs": 7, "learning_rate": 1e-4, "per_device_train_batch_size": 24},
        "metrics": {
            "train_size": 5893,
            "test_size": 1474,
            "runs": [{"seed": n, "score": s, "details": details} for n, s in enumerate(scores)],
            "mean": mean,
            "std": 0.0123,
            "train_seconds": 391.4,
            "bytes": 99_500_000,
            "pretrained": pretrained,
        },
    }


CLASSES = {
    "macro_f1": 0.7513,
    "per_class": {
        "sports-watch": {"precision": 0.8217, "recall": 0.9119, "f1": 0.8637, "support": 181},
        "topic-news": {"precision": 0.5923, "recall": 0.5531, "f1": 0.5717, "support": 151},
    },
    "confusion": {
        "sports-watch": {"sports-watch": 165, "topic-news": 16},
        "topic-news": {"sports-watch": 68, "topic-news": 83},
    },
    "without_markers": {"accuracy": 0.7437},
}
TYPES = {"per_type": {"人名": {"precision": 0.6137, "recall": 0.5871, "f1": 0.6001, "support": 1177}}}


def classical(score: float, seconds: float, interval: dict[str, list[float]], details: dict) -> dict:
    runs = [{"seed": 0, "score": score, "intervals": interval, "details": details}]
    return {"metrics": {"mean": score, "std": None, "train_seconds": seconds, "runs": runs}}


def made_up_records() -> dict:
    """Records as the stages write them, with values that occur nowhere else."""
    speed = {
        "metrics": {
            "items": 487,
            "repetitions": 3,
            "num_threads": 1,
            "contenders": {
                "bert": {
                    "model": "BERT, 12 layers",
                    "trained": False,
                    "score": None,
                    "bytes": 442_600_000,
                    "median_ms": 71.37,
                    "p90_ms": 88.8,
                    "seconds": [34.1, 35.61, 36.2],
                },
                "mobilebert": {
                    "model": "MobileBERT",
                    "trained": True,
                    "bytes": 99_500_000,
                    "median_ms": 24.19,
                    "p90_ms": 27.3,
                    "seconds": [11.9, 12.07, 12.4],
                },
                "card": {
                    "model": "traced",
                    "trained": True,
                    "bytes": 41_900_000,
                    "median_ms": 6.02,
                    "p90_ms": 7.1,
                    "seconds": [2.9, 3.04, 3.3],
                },
            },
            "speedup": {"mobilebert": {"median": 2.951}, "card": {"median": 11.713}},
        },
        "hardware": {"processor": "A Processor", "cores": 2, "memory_gib": 23.5},
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
    }
    evaluation = {"mlm_loss": 10.52, "mlm_accuracy": 0.0003, "nsp_accuracy": 0.497}
    return {
        "corpus": {
            "settings": {"data_dir": "data", "input": None},
            "metrics": {
                "sources": {"wikinews": {"documents": 3669, "sentences": 39084, "characters": 2301234}},
                "read": {"lines": 51077, "characters": 2_913_000},
                "removed_sentences": {"too_short": 2917, "repeated_sentence": 777},
                "sentence_lengths": {"10": 13021, "20": 26063},
            },
        },
        "tokenizer_quality": {
            "metrics": {
                "quality": {
                    "limited": {
                        "encyclopedia": {
                            "unknown_rate": 0.00042,
                            "tokens_per_word": 1.137,
                            "tokens_per_character": 0.618,
                        }
                    },
                    "unlimited": {
                        "encyclopedia": {
                            "unknown_rate": 0.00011,
                            "tokens_per_word": 1.151,
                            "tokens_per_character": 0.629,
                        }
                    },
                },
                "compared_sentences": 100_003,
                "different_sentences": 0,
                "speed": {
                    "ids": {"times_as_fast": 9.37},
                    "mecab_alone": {"times_as_fast": 11.26},
                    "ids_and_offsets": {"times_as_fast": 6.41},
                },
            }
        },
        "tokenizer": {"metrics": {"vocab_size": 32768, "unknown_rate": 0.0007}},
        "shards": {"metrics": {"tokens": {"train": 94_032_716}}},
        "pretraining": {
            "settings": {
                "model_name_or_path": None,
                "optimizer": "muon",
                "learning_rate": 0.001,
                "warmup_steps": 100,
                "per_device_train_batch_size": 32,
                "max_seq_length": 128,
                "mlm_probability": 0.15,
                "embedding_gain": 33.0,
            },
            "metrics": {
                "steps": 1234,
                "tokens_seen": 5_054_464,
                "train_seconds": 3601.0,
                "tokens_per_second": 1403.6,
                "precision": "bf16",
                "before": evaluation,
                "after": {"mlm_loss": 4.93, "mlm_accuracy": 0.312, "nsp_accuracy": 0.581},
                "history": [{"step": n, "mlm_loss": 11 - n / 200} for n in range(20, 1235, 20)],
            },
            "hardware": {"processor": "A Processor", "cores": 6},
        },
        "checkpoint": {
            "config": {
                "num_hidden_layers": 24,
                "hidden_size": 512,
                "intra_bottleneck_size": 128,
                "intermediate_size": 512,
                "num_attention_heads": 4,
                "num_feedforward_networks": 4,
                "vocab_size": 32768,
            },
            "metrics": {
                "backbone_parameters": 24_869_376,
                "gflops_of_128_tokens": 5.385,
                "fill_mask": [{"text": "[MASK]です。", "predictions": [{"token": "都", "score": 0.417}]}],
            },
        },
        "livedoor-svm": classical(0.8367, 4.3, {"accuracy": [0.8121, 0.8573]}, CLASSES),
        "ner-crf": classical(0.4219, 57.7, {"f1": [0.4032, 0.4438]}, TYPES),
        "learning_curve_ner": {
            "metrics": {
                "baseline": "crf",
                "points": [
                    {name: {"train_size": size, "scores": scores} for name, scores in both.items()}
                    for size, both in (
                        (321, {"model": [0.331], "baseline": [0.299]}),
                        (642, {"model": [0.51, 0.5], "baseline": [0.4]}),
                    )
                ],
            }
        },
        "checkpoint_quality": {
            "metrics": {
                "most_frequent_token": "の",
                "kinds": {
                    "aozora": {"mlm_loss": 6.31, "mlm_accuracy": 0.2173, "most_frequent_accuracy": 0.0479},
                    "wikipedia_x": {"mlm_loss": 4.37, "mlm_accuracy": 0.3391, "most_frequent_accuracy": 0.0617},
                    "letters": {"mlm_loss": 5.55, "mlm_accuracy": 0.2937, "most_frequent_accuracy": 0.0533},
                },
                "lengths": {
                    "512": {"mlm_loss": 7.07, "mlm_accuracy": 0.1123},
                    "64": {"mlm_loss": 4.99, "mlm_accuracy": 0.3071},
                },
            }
        },
        "service_load": {
            "metrics": {
                "task": "livedoor",
                "rounds": [
                    {
                        "clients": 3,
                        "requests": 401,
                        "requests_per_second": 81.7,
                        "median_ms": 36.1,
                        "p99_ms": 61.3,
                        "wrong_or_lost": 0,
                    },
                    {
                        "clients": 3,
                        "requests": 417,
                        "requests_per_second": 83.9,
                        "median_ms": 35.3,
                        "p99_ms": 58.7,
                        "wrong_or_lost": 1,
                    },
                ],
            },
            "hardware": {"cores": 6},
        },
        "finetuning_speed_livedoor": {
            "metrics": {
                "examples_per_second": {"this_loop": [97.0, 99.0]},
                "times_as_fast": {"trainer": 1.57, "trainer_by_length": 1.23},
                "num_threads": 6,
            }
        },
        "training_speed": {
            "metrics": {
                "times_as_fast": 1.73,
                "precision": "bf16",
                "num_threads": 6,
                "step_ms_by_group": {"products": 300.2, "optimizer": 100.1},
            },
            "settings": {"per_device_train_batch_size": 24, "max_seq_length": 96},
            "hardware": {"cores": 6, "processor": "A made-up processor"},
        },
        "ablation_masking": {
            "metrics": {
                "runs": {
                    "19 %, seed 0": {
                        "finished": True,
                        "mlm_loss": 6.117,
                        "mlm_accuracy": 0.0471,
                        "tokens_seen": 819_200,
                    },
                    "19 %, seed 1": {
                        "finished": True,
                        "mlm_loss": 6.229,
                        "mlm_accuracy": 0.0463,
                        "tokens_seen": 819_200,
                    },
                    "37 %, seed 0": {"finished": False, "diverged_at_step": 43},
                }
            }
        },
        "livedoor": finetuned([0.771, 0.783, 0.766], CLASSES),
        "ner": finetuned([0.511, 0.502, 0.523], TYPES),
        "compressed_livedoor_card": {
            "metrics": {
                "prune_amount": 0.2,
                "mean": 0.762,
                "std": 0.0071,
                "bytes": 41_900_000,
                "runs": [{"seed": 0, "score": 0.762}],
            }
        },
        "speed_livedoor": speed,
        "speed_ner": copy.deepcopy(speed),
    }


def pages(records: dict, **figures: str) -> str:
    """Both pages, the card first, and the guide's table, with plain spaces alone."""
    own, other = (card.Page(figures, "..", name) for name in ("report.md", "README.md"))
    text = card.render_card(records, own) + card.render_report(records, other)
    text += card.with_table(card.GUIDE_START + card.GUIDE_END, records, "scripts/README.md")
    return text.replace(card.NO_BREAK, " ")
