"""Answers of several people to one question, and what each is worth."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.text.answer_normalization import normal_answer

ENOUGH = 3
"""An answer that this many others give is right."""


def counted(answers: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each answer in its normal form ("Two" and "2" are one), likeliest first;
    ties by name.
    """
    total: Counter[str] = Counter()
    for name, weight in answers.items():
        total[normal_answer(name)] += weight  # type: ignore[assignment]
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def answer_scores(answers: Mapping[str, float]) -> dict[str, float]:
    """Return the score of each answer, from 0 to 1: VQA accuracy (Antol et al. 2015, sec. 3).

    Answers are compared, and returned, in their normal form
    (``data/text/answer_normalization.py``). With n of N people giving an answer, its score is
    the mean of min(k / 3, 1) over the N ways to leave
    one of them out, k being how many of those left give it. Of fewer than four people, all that
    are left are enough; one alone is right. Weights that are not whole numbers are no people:
    they are scores already, of which what is above 1 counts as 1.
    """
    said = counted(answers)
    if any(weight != int(weight) for weight in answers.values()):
        return {name: min(weight, 1.0) for name, weight in said.items()}
    people = int(sum(said.values()))
    if people < 2:
        return dict.fromkeys(said, 1.0)
    enough = min(ENOUGH, people - 1)

    def score(n: int) -> float:
        without, beside = min((n - 1) / enough, 1.0), min(n / enough, 1.0)
        return (n * without + (people - n) * beside) / people

    return {name: score(int(n)) for name, n in said.items()}


def judged(
    said: Sequence[str], answers: Sequence[Mapping[str, float]]
) -> dict[str, Float[np.ndarray, " n"]]:
    """What each thing said is worth to a question that people gave these answers to.

    ``accuracy`` is its score, 0 for what nobody answered. ``exact_match`` is 1 where no other
    answer has more weight, else 0.
    """
    pairs = [(normal_answer(x), given) for x, given in zip(said, answers, strict=True)]
    worth = [answer_scores(given).get(x, 0.0) for x, given in pairs]
    first = [float(is_likeliest(x, counted(given))) for x, given in pairs]
    return {"accuracy": np.array(worth), "exact_match": np.array(first)}


def is_likeliest(name: str, weights: Mapping[str, float]) -> bool:
    """Has no other answer more weight?"""
    return weights.get(name, 0.0) == max(weights.values())


def answer_names(rows: Iterable[Mapping[str, float]], most: int) -> list[str]:
    """Return the ``most`` frequent answers, each counted by its weights; ties by name."""
    total: Counter[str] = Counter()
    for answers in rows:
        total.update(counted(answers))  # type: ignore[arg-type]
    return sorted(total, key=lambda name: (-total[name], name))[:most]
