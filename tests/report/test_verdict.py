from typing import Any

import pytest

from mmtx_cli.report.verdict import verdict


def seen(output: Any) -> tuple[Any, ...] | None:
    result = verdict(output)
    return result and (
        result.kind,
        result.prediction,
        result.score,
        result.score_text,
        result.correct,
    )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            {"caption": "a cat", "references": ["x"], "scores": {"bleu_4": 0.5, "cider": 2}},
            ("caption", "a cat", 2.0, "cider 2.00", None),
        ),
        ({"caption": "a cat", "references": []}, ("caption", "a cat", None, "", None)),
        (
            {"prediction": "red", "label": "red", "probability": 0.9},
            ("class", "red", 0.9, "p(label) 90 %", True),
        ),
        (
            {"prediction": "red", "label": "blue", "top": [["red", 0.9], ["blue", 0.05]]},
            ("class", "red", 0.05, "p(label) 5.0 %", False),
        ),
        (
            {"prediction": "red", "label": "blue", "probability": 0.9, "top": [["red", 0.9]]},
            ("class", "red", -0.9, "label not in top 1", False),
        ),
        (
            {"prediction": "a", "label": "b", "scores": {"probability_of_label": 0.01}},
            ("class", "a", 0.01, "p(label) 1.0 %", False),
        ),
        ({"prediction": 3, "label": 3}, ("class", "3", 1.0, "", True)),
        ({"prediction": 2.5, "label": 3}, ("number", "2.50", -0.5, "error 0.500", None)),
        (
            {"prediction": ["a", "b"], "label": ["b"]},
            ("labels", "a, b", 0.5, "overlap 50 %", False),
        ),
        (
            {"prediction": "red", "answers": {"red": 2, "blue": 8}, "scores": {"accuracy": 0.6}},
            ("answer", "red", 0.6, "accuracy 60 %", True),
        ),
        (
            {"prediction": "red", "answers": {"blue": 8}},
            ("answer", "red", 0.0, "accuracy 0 %", False),
        ),
        (
            {"image_to_text_rank": 2.5, "text_to_image_rank": 0, "other_rank": None},
            ("rank", "image to text: rank 3.5, text to image: rank 1", -1.25, "", False),
        ),
        ({"scores": {}}, None),
        ("a word", None),
    ],
)
def test_a_head_is_known_by_what_it_wrote(output: Any, expected: tuple[Any, ...] | None) -> None:
    assert seen(output) == expected


def test_not_a_number_is_no_score() -> None:
    assert verdict({"caption": "x", "scores": {"cider": float("nan")}}).score is None  # type: ignore[union-attr]


@pytest.mark.parametrize("top", [None, 3, ["red"], [["red"], ["red", None], None]])
def test_a_damaged_top_list_is_passed_over(top: Any) -> None:
    output = {"prediction": "red", "label": "red", "probability": 0.9, "top": top}
    assert seen(output) == ("class", "red", 0.9, "p(label) 90 %", True)
