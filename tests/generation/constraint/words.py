"""Small tokenizers, and what constraints mean by Python's ``re``."""

import re
from functools import cache

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from mmtx_cli.data.text.tokenizer import Tokenizer

TEXTS = [
    "a dog runs with a red ball in the grass",
    "two dogs play on the beach, and a man watches",
    "the woman in the café reads: 3 books!",
    "一只狗在跑",
    "yes",
    "no",
    "not now",
    "Ein Hündchen läuft über die Straße.",
]


@cache
def byte_level(size=330, lowercase=True):
    return Tokenizer.train(TEXTS * 3, size, lowercase).backend


@cache
def sentencepiece():
    pieces = sorted({piece for text in TEXTS for piece in f"▁{text}".replace(" ", "▁")})
    words = [f"▁{word}" for text in TEXTS for word in text.split()][:20]
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab += [piece for piece in dict.fromkeys([*words, *pieces]) if piece not in vocab]
    model = models.Unigram([(piece, -1.0) for piece in vocab], 0, byte_fallback=True)
    backend = Backend(model)
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return backend


@cache
def wordpiece():
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def has(phrase, text):
    """Whether a text has a phrase with no letters beside it; 狗 needs no spaces around it."""
    return found(phrase, text, r"(?<!\w)", r"(?!\w)")


def has_clearly(phrase, text):
    """Whether a text has a phrase between white space or common punctuation, in any case."""
    between = r"\s!-/:-@\[-^`{-~\u2000-\u206f"
    return found(phrase, text, rf"(?:^|(?<=[{between}]))", rf"(?=[{between}]|$)")


def found(phrase, text, left, right):
    left, right = (
        boundary if re.match(r"\w", letter) and letter != "狗" else ""
        for boundary, letter in ((left, phrase[0]), (right, phrase[-1]))
    )
    words = r"\s+".join(map(re.escape, phrase.split()))
    return re.search(f"{left}{words}{right}", text, re.IGNORECASE) is not None
