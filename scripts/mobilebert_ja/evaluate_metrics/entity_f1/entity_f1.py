"""`evaluate.load("scripts/mobilebert_ja/evaluate_metrics/entity_f1")`: exact-match F1 of character spans."""

# One import per line: the parser of evaluate does not understand `import a, b`.
import datasets
import evaluate

from .span_scores import entity_scores

_SPANS = [{"start": datasets.Value("int32"), "end": datasets.Value("int32"), "type": datasets.Value("string")}]


class EntityF1(evaluate.Metric):
    """Spans in, {"f1", "precision", "recall", "support", "per_type"} out."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Micro F1 of entities; start, end and type must all be right.",
            citation="",
            inputs_description='predictions and references: a list of {"start", "end", "type"} a sentence.',
            features=datasets.Features({"predictions": _SPANS, "references": _SPANS}),
        )

    def _compute(self, predictions, references):
        return entity_scores(_tuples(predictions), _tuples(references))


def _tuples(sentences):
    return [[(span["start"], span["end"], span["type"]) for span in sentence] for sentence in sentences]
