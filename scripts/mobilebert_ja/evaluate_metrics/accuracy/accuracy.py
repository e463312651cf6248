"""`evaluate.load("scripts/mobilebert_ja/evaluate_metrics/accuracy")`: accuracy, macro F1 and scores by class."""

# One import per line: the parser of evaluate does not understand `import a, b`.
import datasets
import evaluate

from .class_scores import classification_scores


class Accuracy(evaluate.Metric):
    """Class names in, {"accuracy", "macro_f1", "per_class", "confusion"} out."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of right answers, with F1 by class and its mean.",
            citation="",
            inputs_description="predictions and references: one class name an item.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        return classification_scores(list(predictions), list(references))
