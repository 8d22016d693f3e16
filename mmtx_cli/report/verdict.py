"""Compare the prediction of a head for one sample with the truth.

The kind of head is inferred from the keys of its output.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mmtx_cli.metric.direction import headline
from mmtx_cli.report.rounding import is_number, percent, rounded


@dataclass(frozen=True)
class Verdict:
    """The prediction of one head for one sample; a higher ``score`` is better."""

    kind: str
    prediction: str
    truth: list[str] = field(default_factory=list)
    truth_name: str = "label"
    measure: str = ""
    score: float | None = None
    score_text: str = ""
    correct: bool | None = None
    others: list[str] = field(default_factory=list)


def verdict(output: Any) -> Verdict | None:
    """Judge a head's output by the keys it has; None if its kind cannot be shown."""
    if not isinstance(output, dict):
        return None
    for keys, judge in KINDS:
        if keys <= output.keys():
            return judge(output)
    return None


def _caption(output: dict[str, Any]) -> Verdict:
    scores = output.get("scores")
    scores = scores if isinstance(scores, dict) else {}
    scores = {name: value for name, value in scores.items() if is_number(value)}
    measure = headline(scores) or next(iter(scores), "")
    score = float(scores[measure]) if measure else None
    shown = f"{measure} {rounded(score)}" if measure else ""
    truth = _texts(output.get("references"))
    return Verdict("caption", _text(output["caption"]), truth, "reference", measure, score, shown)


def _class(output: dict[str, Any]) -> Verdict:
    prediction, label = output["prediction"], output["label"]
    if isinstance(prediction, list) or isinstance(label, list):
        return _labels(_texts(prediction), _texts(label))
    if isinstance(prediction, float) and is_number(label):
        error = abs(prediction - label)
        shown, measure = f"error {rounded(error)}", "absolute error"
        return Verdict(
            "number", rounded(prediction), [rounded(label)], "target", measure, -error, shown
        )
    top = _top(output.get("top"))
    correct, probability = _text(prediction) == _text(label), output.get("probability")
    scores = output.get("scores")
    label_probability = scores.get("probability_of_label") if isinstance(scores, dict) else None
    if not is_number(label_probability):
        label_probability = dict(top).get(_text(label), probability if correct else None)
    if is_number(label_probability):
        score, shown = float(label_probability), f"p(label) {percent(label_probability)}"
    else:
        # Label not in the top: rank it below all others, lower the more confident the model was.
        score = -float(probability) if is_number(probability) else float(correct)
        shown = f"label not in top {len(top)}" if top else ""
    others = [f"{name} {percent(p)}" for name, p in top[:5]]
    truth, measure = [_text(label)], "probability of the label"
    return Verdict(
        "class", _text(prediction), truth, "label", measure, score, shown, correct, others
    )


def _top(value: Any) -> list[tuple[str, float]]:
    """Return the (label, probability) pairs, most likely first."""
    pairs = value if isinstance(value, list) else []
    pairs = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return [(_text(name), float(p)) for name, p in pairs if is_number(p)]


def _labels(predicted: list[str], truth: list[str]) -> Verdict:
    both, either = len({*predicted} & {*truth}), len({*predicted} | {*truth})
    score = both / either if either else 1.0
    shown, measure = f"overlap {percent(score)}", "overlap of label sets"
    return Verdict(
        "labels", ", ".join(predicted), truth, "label", measure, score, shown, score == 1
    )


def _answer(output: dict[str, Any]) -> Verdict:
    prediction, answers = _text(output["prediction"]), output["answers"]
    scores = output.get("scores")
    accuracy = scores.get("accuracy") if isinstance(scores, dict) else None
    score = float(accuracy) if is_number(accuracy) else float(prediction in answers)
    shown, measure = f"accuracy {percent(score)}", "soft accuracy"
    return Verdict(
        "answer", prediction, [*map(str, answers)], "answer", measure, score, shown, score > 0
    )


def _rank(output: dict[str, Any]) -> Verdict | None:
    ranks = {
        name.removesuffix("_rank").replace("_", " "): rank
        for name, rank in output.items()
        if name.endswith("_rank") and is_number(rank)
    }
    if not ranks:
        return None
    # Ranks start at 0, and are means if a sample has several queries.
    text = ", ".join(f"{name}: rank {rank + 1:.3g}" for name, rank in ranks.items())
    score = -sum(ranks.values()) / len(ranks)
    return Verdict("rank", text, measure="mean rank", score=score, correct=score == 0)


KINDS: list[tuple[set[str], Callable[[dict[str, Any]], Verdict | None]]] = [
    ({"caption"}, _caption),
    ({"prediction", "label"}, _class),
    ({"prediction", "answers"}, _answer),
    (set(), _rank),
]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(item) for item in values if item is not None]
