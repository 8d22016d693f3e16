"""Tokenizers that would make a short text very long are refused (docs/SECURITY.md)."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors

from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.tokenizer_growth import MAX_GROWTH, _growth, _longest_entry, _stages, _state
from mmtx_cli.errors import DataError

TEXTS = ["a red ball", "a blue box"] * 3


def changed(**parts):
    """The text of a tokenizer with other parts."""
    tokenizer = Tokenizer.train(TEXTS, 300)
    for name, part in parts.items():
        setattr(tokenizer.backend, name, part)
    return tokenizer.to_json()


def template(copies):
    return processors.TemplateProcessing(
        single=" ".join(["[A]"] * copies + ["$A"]), special_tokens=[("[A]", 1)]
    )


STAGES = 10 * [normalizers.Replace("a", "a" * 100)]
LONG = {
    "replacements in stages": {"normalizer": normalizers.Sequence(STAGES)},
    "a sequence in a sequence": {
        "normalizer": normalizers.Sequence([normalizers.Sequence(STAGES), normalizers.NFC()])
    },
    "a pattern": {"normalizer": normalizers.Replace(Regex(""), "b" * 2000)},
    "a beginning": {"normalizer": normalizers.Prepend("b" * 2000)},
    "bytes of bytes": {"pre_tokenizer": pre_tokenizers.Sequence(40 * [pre_tokenizers.ByteLevel()])},
    "a decoder": {"decoder": decoders.Sequence(10 * [decoders.Replace("a", "a" * 100)])},
    "a template": {"post_processor": template(2000)},
}


@pytest.mark.parametrize("name", LONG)
def test_a_text_that_would_grow(name, tmp_path):
    text = changed(**LONG[name])
    (part,) = LONG[name]
    with pytest.raises(DataError, match=f"{part}.*{MAX_GROWTH:,}"):
        Tokenizer.from_json(text)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=rf"tokenizer\.json.*{part}"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_table_of_sentencepiece():
    table = struct.pack("<I", 4) + b"\0\0\0\0" + b"a\0" + b"b" * 5000 + b"\0"
    assert _longest_entry(table) == 5000
    stage = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}
    assert _growth(stage) == 5000 > MAX_GROWTH


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"normalizer": normalizers.BertNormalizer()},
        {
            "normalizer": normalizers.Sequence(
                [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
            ),
            "decoder": decoders.Sequence(
                [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
            ),
        },
        {"pre_tokenizer": pre_tokenizers.Metaspace(), "decoder": decoders.Metaspace()},
        {"post_processor": template(2)},
    ],
    ids=["own", "BERT", "Llama", "T5", "template"],
)
def test_tokenizers_of_every_kind_are_read(parts):
    assert Tokenizer.from_json(changed(**parts)).encode(["a red ball"], 12)


@given(
    st.lists(
        st.one_of(
            st.builds(
                normalizers.Replace, st.text("ab ", min_size=1, max_size=3), st.text(max_size=9)
            ),
            st.builds(normalizers.Prepend, st.text(min_size=1, max_size=5)),
            st.just(normalizers.ByteLevel()),
        ),
        max_size=3,
    ),
    st.text("ab é", min_size=1, max_size=20),
)
def test_no_text_grows_beyond_the_bound(stages, text):
    sequence = normalizers.Sequence(stages)
    bound = 1
    for stage in _stages(_state(sequence)):
        bound *= _growth(stage)
    assert len(sequence.normalize_str(text).encode()) <= bound * len(text.encode())


def test_a_library_that_panics_while_it_encodes():
    pattern = json.dumps({"Regex": "(a+)+$"})
    replaced = changed(normalizer=normalizers.Replace("qq", "b"))
    text = replaced.replace('{"String":"qq"}', pattern)
    assert text != replaced
    with pytest.raises(DataError, match=r"the model's tokenizer\.json.*aaaa"):
        Tokenizer.from_json(text).encode(["a" * 40 + "!"], 8)
