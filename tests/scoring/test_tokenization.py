import unicodedata

import pytest

from mmtx_cli.errors import ConfigError
from mmtx_cli.scoring import overlap
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.tokenization import language_report, reference_texts, tokenizer_for
from tests.messages import faults_mention, raises

CHINESE = ["一只狗在草地上奔跑", "两个男人骑着红色的自行车"]
VIETNAMESE = ["một người đàn ông đứng trên đỉnh núi tuyết", "hai đứa trẻ chơi bóng trên bãi cỏ"]


def captions(predictions, references):
    number = len(predictions)
    ids = [str(i) for i in range(number)]
    return Captions(ids, predictions, [[own] for own in references], [{}] * number)


def configured(**more):
    return ScoreSettings((), (), None, ("overlap",), 10, 1, 1, 0, **more)


def notes_of(given, **more):
    found, notes = language_report(given, configured(**more), ("p", "r"))
    assert not found
    return notes


def test_all_metrics_share_one_tokenizer():
    given = captions(CHINESE, CHINESE)
    first = tokenizer_for(configured(), reference_texts(given))
    assert tokenizer_for(configured(), CHINESE[:1]) is first
    assert first.name == "char"
    measured = overlap.measure(given, configured())
    assert measured.parameters == {"tokenizer": "char", "language": "zh"}
    assert measured.scores.metrics()["bleu_4"] == pytest.approx(1, abs=1e-8)


def test_decomposed_predictions_match_composed_references():
    decomposed = [unicodedata.normalize("NFD", caption) for caption in VIETNAMESE]
    assert decomposed != VIETNAMESE
    measured = overlap.measure(captions(decomposed, VIETNAMESE), configured())
    assert measured.scores.metrics()["bleu_4"] == pytest.approx(1, abs=1e-8)
    assert not notes_of(captions(decomposed, VIETNAMESE))


def test_characters_are_noted_with_what_gives_words():
    given = captions(CHINESE, CHINESE)
    faults_mention(notes_of(given), ("language zh: ", "characters", "tokenizer=jieba"))
    assert not notes_of(given, tokenizer="char")
    faults_mention(notes_of(given, tokenizer="ptb"), ("tokenizer=ptb: ", "zh", "one token"))


def test_full_width_letters_of_one_side_are_noted():
    given = captions(["a dog １", "a cat"], ["a dog 1", "a cat"])
    faults_mention(notes_of(given), ("1 predictions have full-width"))
    both = captions(["a dog １", "a cat"], ["a dog １", "a cat"])
    assert not notes_of(both)


def test_a_missing_package_is_a_fault_of_its_key(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jieba", None)
    from mmtx_cli.metric.tokenizer import tokenizer

    tokenizer._tokenizer.cache_clear()
    with raises(ConfigError, "tokenizer=jieba: needs jieba"):
        tokenizer_for(configured(tokenizer="jieba"), CHINESE)


def test_captions_without_letters_have_no_language():
    assert notes_of(captions(["", "🐶"], ["1", "2"])) == []
