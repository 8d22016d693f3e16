"""METEOR compared with METEOR 1.5 in Java: every count of every sample, and the scores."""

import random

import pytest

from mmtx_cli.metric.meteor.load import load_meteor
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.ptb.tokenize import tokenize
from tests.metric.corpora import WORDS, flickr_groups, random_tokens
from tests.metric.meteor.java import (
    assert_same,
    java_meteor,
    needs_java,
    pycocoevalcap_folder,
    small_folder,
)

ENGLISH = ["-l", "en", "-norm"]
FORMS = [*WORDS, *"dogs balls running runs ran sitting sat women couch sofa jump photo".split()]  # noqa: SIM905
PIECES = [*"'-.,abUS19“’%$éЖ日sx\xa0–`()&İΣ/", "...", "--", "n't", "''", "Mr.", "No."]
TEXTS = {
    "cs": "muži jedou na červeném kole a psi se dívají",
    "de": "der Hund läuft schnell über die Wiesen und die Kinder spielten z.B. Fußball",
    "es": "los perros corrían por la hierba mientras las niñas jugaban en el agua",
    "fr": "l'homme mange des pommes qu'il n'aime pas et les hommes mangeaient aujourd'hui",
    "ru": "мужчина едет на красном велосипеде и собаки бегут по траве",
    "da": "hundene løber hurtigt over græsset og børnene legede",
    "fi": "koirat juoksevat nopeasti nurmikolla ja lapset leikkivät",
    "it": "i cani correvano velocemente sull'erba mentre le bambine giocavano",
    "nl": "de honden liepen snel over het gras en de kinderen speelden",
    "no": "hundene løper raskt over gresset og barna lekte",
    "pt": "os cachorros corriam na grama enquanto as meninas brincavam",
    "ro": "câinii alergau repede prin iarbă iar fetele se jucau",
    "sv": "hundarna springer snabbt över gräset och barnen lekte",
    "zh": "一 只 狗 在 草 地 上 跑 两 个 人 看 着 它",
    "tr": "köpekler çimlerin üzerinde hızla koşuyor ve çocuklar oynuyordu",
}
JAVA_CODES = {"cs": "cz", "sv": "se", "zh": "other"}


def drawn(words, samples, longest, seed):
    """Return captions of words, with references that have some of them in another order."""
    draw = random.Random(seed)
    candidates, references = [], []
    for _ in range(samples):
        candidate = draw.choices(words, k=draw.randint(0, longest))
        shuffled = draw.sample(candidate, len(candidate))
        own = [draw.choices(words, k=draw.randint(1, longest)) for _ in range(draw.randint(1, 4))]
        candidates.append(candidate)
        references.append([*own, shuffled or own[0], candidate[: longest // 2] + own[0]])
    return candidates, references


def check(folder, code, options, candidates, references):
    data = load_meteor(code, folder)
    assert data.missing == ()
    theirs = java_meteor(folder, options, candidates, references)
    assert_same(meteor_scores(candidates, references, data), data.stages, theirs)


@needs_java
@pytest.mark.parametrize(
    ("words", "samples", "longest"), [(FORMS, 150, 14), (FORMS[:7], 30, 22), (PIECES, 300, 9)]
)
def test_equals_java_on_random_captions(tmp_path, monkeypatch, words, samples, longest):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = small_folder(tmp_path, words=[word for word in words if word.strip()])
    check(folder, "en", ENGLISH, *drawn(words, samples, longest, seed=longest))


@needs_java
def test_equals_java_on_long_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    check(small_folder(tmp_path), "en", ENGLISH, *random_tokens(8, seed=4, longest=120))


@needs_java
@pytest.mark.parametrize("code", sorted(TEXTS))
@pytest.mark.quick_cases(4)
def test_equals_java_in_other_languages(tmp_path, monkeypatch, code):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = TEXTS[code].split()
    words += [word[:-1] for word in words if len(word) > 3] + ["U.S.", "3.5", ",", "Inc.", "a-b"]
    short = JAVA_CODES.get(code, code)
    folder = small_folder(tmp_path, short, [word.lower() for word in words])
    normalized = load_meteor(code, folder).language.normalized
    options = ["-l", short, "-norm" if normalized else "-lower"]
    check(folder, code, options, *drawn(words, 120, 10, seed=1))


@needs_java
@pytest.mark.slow
def test_equals_java_on_real_captions_with_all_data():
    groups = [[tokenize(caption) for caption in own] for own in flickr_groups().values()]
    candidates = [caption for own in groups for caption in own]
    references = [own[:at] + own[at + 1 :] for own in groups for at in range(len(own))]
    assert len(candidates) >= 5000
    check(pycocoevalcap_folder(), "en", ENGLISH, candidates, references)
