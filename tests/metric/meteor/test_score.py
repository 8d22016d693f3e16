"""METEOR of small texts, whose score is found by hand, and what holds of any texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.errors import DataError
from mmtx_cli.metric.meteor import tries
from mmtx_cli.metric.meteor.data import MeteorData
from mmtx_cli.metric.meteor.matches import Matches
from mmtx_cli.metric.meteor.parameters import LANGUAGES, OTHER
from mmtx_cli.metric.meteor.paraphrases import build_table
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.meteor.search import best_alignments
from mmtx_cli.metric.meteor.synonyms import Synonyms
from mmtx_cli.metric.meteor.tries import BEAM
from tests.messages import raises

SYNONYMS = Synonyms.parsed("couch\n1 2\nsofa\n2\nwoman\n3\nlady\n3\n", "woman\nwomen\n")
WORDS = ["in", "front", "of", "before", "the", "house"]
# "in front of" and "before"
TABLE = build_table(
    WORDS, (np.array([0, 1, 2, 3]), np.array([3, 1])), np.array([0, 1]), np.array([1, 0])
)
TEXT = st.lists(st.sampled_from("a b c the in front of before couch sofa runs run".split()))  # noqa: SIM905
SAMPLES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4)), min_size=1, max_size=8)


def english(**more):
    return MeteorData(
        "en", LANGUAGES["en"], frozenset(("the", "in", "of")), {}, more.get("stem"),
        more.get("synonyms"), more.get("paraphrases"),
    )  # fmt: skip


def strip_s(word):
    return word.removesuffix("s")


ALL = english(stem=strip_s, synonyms=SYNONYMS, paraphrases=TABLE)


def score(candidate, *references, data=ALL):
    return meteor_scores([candidate.split()], [[text.split() for text in references]], data)


def by_hand(precision, recall, fragmentation):
    """The formula for English (Denkowski and Lavie, 2014)."""
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    return mean * (1 - 0.6 * fragmentation**0.2)


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        ("cat eats fish", "cat eats fish", 1),
        ("cat eats fish", "cat eats meat", by_hand(2 / 3, 2 / 3, 1 / 2)),
        # a function word counts a third of another one
        ("the cat", "a cat", by_hand(0.75 / 1, 0.75 / 1.5, 1)),
        ("the cat", "the dog", by_hand(0.25, 0.25, 1)),
        ("fish eats cat", "cat eats fish", by_hand(1, 1, 1)),
        ("dog runs", "dog run", 1.6 / 2),
        ("red couch", "red sofa", 1.8 / 2),
        ("red women", "red lady", 1.8 / 2),
        # one word against three, of which two are function words
        (
            "before house", "in front of house",
            by_hand((0.75 + 0.45) / 1.5, (0.75 + 0.6 * 1.25) / 2, 0),
        ),
        ("", "a cat", 0),
        ("dog", "a cat", 0),
    ],
)  # fmt: skip
def test_equals_the_formula(candidate, reference, expected):
    found = score(candidate, reference)
    assert found.per_sample["meteor"] == pytest.approx([expected], abs=1e-12)
    assert found.metrics()["meteor"] == pytest.approx(expected, abs=1e-12)


def test_an_alignment_has_as_few_chunks_as_possible():
    text = "a cat and a dog and a cat"
    assert score(text + " b", text).statistics[0, 4] == 1


def test_the_best_reference_counts_and_the_first_of_ties():
    found = score("cat eats fish", "cat", "x cat eats fish", "dog", "y cat eats fish")
    alone = score("cat eats fish", "x cat eats fish")
    np.testing.assert_array_equal(found.statistics, alone.statistics)


def test_the_corpus_is_scored_by_summed_counts():
    scores = meteor_scores([["cat"], ["dog", "runs", "b"]], [[["cat"]], [["dog", "runs"]]], ALL)
    expected = by_hand(3 / 4, 1, 1 / 3)
    assert scores.metrics()["meteor"] == pytest.approx(expected, abs=1e-12)


def test_stages_without_data_are_named():
    assert ALL.stages == ("exact", "stem", "synonym", "paraphrase")
    assert english(stem=strip_s).missing == ("synonym", "paraphrase")
    assert score("dog runs", "dog run", data=english()).per_sample["meteor"][0] < 0.5
    other = MeteorData("zh", OTHER, frozenset(), {}, None, None, None)
    assert (other.stages, other.missing) == (("exact",), ())


def test_texts_that_are_too_long_to_compare_are_refused():
    many = np.zeros(1000, dtype=np.int64)
    matches = Matches(many, np.stack([many, many + 2**40], axis=1), np.ones((1000, 2)), many)
    with raises(DataError, "metrics: ", "5000 words", "shorten"):
        best_alignments(matches, np.array([[5000, 5000]]))


@given(SAMPLES)
def test_scores_keep_their_bounds_and_equal_texts_score_one(samples):
    candidates, references = map(list, zip(*samples, strict=True))
    scores = meteor_scores(candidates, references, ALL)
    values = scores.per_sample["meteor"]
    assert ((values >= 0) & (values <= 1)).all()
    assert 0 <= scores.metrics()["meteor"] <= 1
    same = [bool(text) and text in own for text, own in samples]
    assert values[same] == pytest.approx(1)


@given(SAMPLES, st.randoms())
@settings(max_examples=15)
def test_a_sample_does_not_depend_on_the_others(samples, draw):
    candidates, references = map(list, zip(*samples, strict=True))
    values = meteor_scores(candidates, references, ALL).per_sample["meteor"]
    order = list(range(len(samples)))
    draw.shuffle(order)
    turned = meteor_scores(
        [candidates[i] for i in order], [references[i][::-1] for i in order], ALL
    )
    np.testing.assert_array_equal(turned.per_sample["meteor"], values[order])
    alone = [score(" ".join(text), *map(" ".join, own)).per_sample["meteor"][0]
             for text, own in samples]  # fmt: skip
    np.testing.assert_array_equal(alone, values)


def best_by_search(matches, count):
    """Search as in METEOR, one path after the other: matches and chunks of the best alignment.

    ``matches`` are (number, reference word, candidate word, gain) in their order.
    """
    paths = [((0, 0, 0), -1, frozenset(), ())]
    for current in range(count):
        own = [match for match in matches if match[1] == current]
        longer = []
        for (total, chunks, distance), end, used, taken in paths:
            rest = distance
            for number, _, word, gain in own:
                if word in used:
                    continue
                key = (total - gain, chunks + (end >= 0 and end != word), rest)
                longer.append((key, word + 1, used | {word}, (*taken, number)))
                rest += abs(word - current)
            longer.append(((total, chunks + (end >= 0), rest), -1, used, taken))
        paths = sorted(longer, key=lambda path: path[0])[:BEAM]
    key, end, _, taken = min(paths, key=lambda path: (path[0][0], path[0][1] + (path[1] >= 0)))
    return sorted(taken), key[1] + (end >= 0)


@pytest.mark.parametrize("one_by_one", [1, 1000])
@pytest.mark.parametrize("words", [1, 2, 5])
def test_many_equal_words_are_aligned_as_in_a_plain_search(words, one_by_one, monkeypatch):
    monkeypatch.setattr(tries, "ONE_BY_ONE", one_by_one)
    draw = np.random.default_rng(words)
    candidate, reference = draw.integers(words, size=(2, 70))
    start = np.array(
        [(i, j) for j, word in enumerate(reference) for i in np.flatnonzero(candidate == word)]
    )
    stage = draw.integers(min(words, 2), size=len(start))
    matches = Matches(np.zeros_like(stage), start, np.ones_like(start), stage)
    chosen, chunks = best_alignments(matches, np.array([[70, 70]]))
    # twice half a word, rounded down on both sides: a single stem gains nothing in the search
    plain = [
        (number, j, i, (2, 0)[kind])
        for number, ((i, j), kind) in enumerate(zip(start, stage, strict=True))
    ]
    assert (np.flatnonzero(chosen).tolist(), chunks[0]) == best_by_search(plain, 70)
