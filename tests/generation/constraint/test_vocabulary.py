"""The bytes of tokens: what the tokenizers library decodes is the reference."""

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from mmtx_cli.generation.constraint.vocabulary import (
    UnknownVocabularyError,
    space_required,
    token_bytes,
)
from tests.generation.constraint.words import TEXTS, byte_level, sentencepiece, wordpiece


@pytest.mark.parametrize("make", [byte_level, sentencepiece, wordpiece])
def test_bytes_of_tokens_are_those_of_the_decoded_text(make):
    tokenizer = make()
    tokens = token_bytes(tokenizer)
    assert len(tokens) == tokenizer.get_vocab_size()
    ordinary = [i for i, content in enumerate(tokens) if content is not None]
    assert len(ordinary) < len(tokens), "special tokens add nothing"
    random = np.random.default_rng(0)
    drawn = [random.choice(ordinary, size=8).tolist() for _ in range(200)]
    for ids in [*drawn, *(tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS)]:
        ids = [i for i in ids if tokens[i] is not None]
        while space_required(tokenizer) and ids and not tokens[ids[0]].startswith(b" "):
            del ids[0]
        joined = b"".join(tokens[i] for i in ids).decode(errors="replace")
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        # how invalid bytes are replaced differs between libraries
        if "\N{REPLACEMENT CHARACTER}" not in joined:
            assert joined.strip() == decoded.strip()


def test_another_kind_of_tokenizer():
    with pytest.raises(UnknownVocabularyError):
        token_bytes(Backend(models.WordLevel({"a": 0}, unk_token="a")))
