"""Answers of several people to one question, and what each is worth."""

from collections import Counter
from collections.abc import Iterable, Mapping

ENOUGH = 3
"""An answer that this many others give is right."""


def answer_scores(answers: Mapping[str, float]) -> dict[str, float]:
    """Return the score of each answer, from 0 to 1: VQA accuracy (Antol et al. 2015, sec. 3).

    With n of N people giving an answer, it is the mean of min(k / 3, 1) over the N ways to leave
    one of them out, k being how many of those left give it. Of fewer than four people, all that
    are left are enough; one alone is right. Weights that are not whole numbers are no people:
    they are scores already, of which what is above 1 counts as 1.
    """
    if any(weight != int(weight) for weight in answers.values()):
        return {name: min(weight, 1.0) for name, weight in answers.items()}
    people = int(sum(answers.values()))
    if people < 2:
        return dict.fromkeys(answers, 1.0)
    enough = min(ENOUGH, people - 1)

    def score(n: int) -> float:
        without, beside = min((n - 1) / enough, 1.0), min(n / enough, 1.0)
        return (n * without + (people - n) * beside) / people

    return {name: score(int(n)) for name, n in answers.items()}


def answer_names(rows: Iterable[Mapping[str, float]], most: int) -> list[str]:
    """Return the ``most`` frequent answers, each counted by its weights; ties by name."""
    total: Counter[str] = Counter()
    for answers in rows:
        total.update(answers)  # type: ignore[arg-type]
    return sorted(total, key=lambda name: (-total[name], name))[:most]
