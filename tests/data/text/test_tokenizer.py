import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.text.tokenizer import SPECIAL, Tokenizer
from mmtx_cli.errors import DataError
from tests.messages import mentions_missing, raises

TEXTS = ["a red ball on the grass", "the dog runs", "a dog on the grass"] * 3
LONG = 10_000


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, 400)


WHITE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
"""What Unicode calls white space."""


def normalized(text, lowercase=True):
    """What is left of a text: composed, any white space one space, none around it."""
    text = re.sub(WHITE, " ", unicodedata.normalize("NFC", text))
    return (text.lower() if lowercase else text).strip()


def round_trip(tokenizer, text):
    (tokens,) = tokenizer.encode([text], LONG)
    return tokenizer.decode(tokens[1:])


@pytest.mark.parametrize(
    "text",
    [
        "a red ball",
        "Ein Bär, größer als Ångström!",
        "赤いボール 🔴",
        "👩‍👩‍👧‍👦 😀🏳️‍🌈",
        "مرحبا",
        "ｆｕｌｌ ﬁ №",
        "[EOS] [PAD]",
    ],
)
def test_brings_a_text_back(tokenizer, text):
    assert round_trip(tokenizer, text) == normalized(text)


# how newer characters are composed the tokenizer's Unicode version may not know
OLD = st.characters(exclude_categories=["Cs", "Cn", "Co"]).filter(
    lambda c: unicodedata.ucd_3_2_0.category(c) != "Cn"
)


@given(text=st.text(OLD, max_size=40))
def test_brings_any_text_back(text):
    cased = Tokenizer.from_json(CASED)
    assert round_trip(cased, text) == normalized(text, lowercase=False)


CASED = Tokenizer.train(TEXTS, 400, lowercase=False).to_json()


@pytest.mark.parametrize("word", SPECIAL)
def test_a_text_cannot_contain_a_special_token(tokenizer, word):
    (tokens,) = tokenizer.encode([f"press {word} now"], LONG)
    special = {tokenizer.backend.token_to_id(name) for name in SPECIAL}
    assert not special & set(tokens[1:-1])


def test_special_tokens(tokenizer):
    assert [tokenizer.backend.token_to_id(name) for name in SPECIAL] == [0, 1, 2, 3, 4]
    assert (tokenizer.special("pad"), tokenizer.bos_id, tokenizer.eos_id) == (0, 2, 3)
    (tokens,) = tokenizer.encode(["a dog"], LONG)
    assert (tokens[0], tokens[-1]) == (2, 3)
    assert tokenizer.encode([""], LONG) == [[2, 3]]
    assert len(tokenizer) == tokenizer.backend.get_vocab_size()


@pytest.mark.parametrize("length", [2, 3, 5])
def test_truncated_texts_keep_the_end_token(tokenizer, length):
    long, short = tokenizer.encode(["the dog runs on the red grass", "a"], length)
    assert len(long) == length
    assert long[-1] == tokenizer.eos_id
    assert long[:-1] == tokenizer.encode(["the dog runs on the red grass"], LONG)[0][: length - 1]
    assert short[-1] == tokenizer.eos_id


def test_decodes_up_to_the_end(tokenizer):
    (tokens,) = tokenizer.encode(["a dog"], LONG)
    assert tokenizer.decode([*tokens, *tokens[1:], 0, 0]) == "a dog"
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([3]) == ""


def test_is_kept_whole(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    text = "A red DOG 🐕"
    for other in (
        Tokenizer.load(tmp_path / "tokenizer.json"),
        Tokenizer.from_json(tokenizer.to_json()),
    ):
        assert other.encode([text], LONG) == tokenizer.encode([text], LONG)
        assert len(other) == len(tokenizer)


def test_training_is_the_same_each_time():
    assert Tokenizer.train(TEXTS, 400).to_json() == Tokenizer.train(iter(TEXTS), 400).to_json()


def test_what_cannot_be_loaded(tmp_path):
    with raises(DataError, f"{tmp_path / 'nope.json'}: ", "tokenizer file") as caught:
        Tokenizer.load(tmp_path / "nope.json")
    mentions_missing(caught.value)
    (tmp_path / "bad.json").write_text("{}")
    with raises(DataError, f"{tmp_path / 'bad.json'}: ", "tokenizers library"):
        Tokenizer.load(tmp_path / "bad.json")
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    Backend(models.BPE({"[PAD]": 0, "a": 1}, [])).save(str(tmp_path / "poor.json"))
    with raises(DataError, tmp_path / "poor.json", "special tokens", "bos: ", "eos: "):
        Tokenizer.load(tmp_path / "poor.json")
