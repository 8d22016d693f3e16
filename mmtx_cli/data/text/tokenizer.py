"""Tokenizers: byte-level BPE trained on the data set's texts, or loaded from a file."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tokenizers
from tokenizers import Encoding, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from mmtx_cli.data.text.tokenizer_growth import check_growth
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.bounded_file import MAX_TOKENIZER_BYTES, RefusedFileError, read_text

PAD, UNK, BOS, EOS, MASK = SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]")
# names of the special tokens in other tokenizers
NAMES = {
    "pad": (PAD, "<pad>", "<|pad|>", "<|endoftext|>"),
    "bos": (BOS, "<s>", "[CLS]", "<|startoftext|>", "<bos>", "<|endoftext|>"),
    "eos": (EOS, "</s>", "[SEP]", "<|endoftext|>", "<eos>"),
}
MASKS = (MASK, "<mask>", "<|mask|>")


def _backend(text: str, fault: str) -> Backend:
    """Build a ``tokenizers`` tokenizer from JSON.

    Raises:
        DataError: starting with ``fault``. The library raises plain Exception or panics; a panic
            is a BaseException and prints to standard error, which is therefore silenced.
    """
    try:
        with _silenced():
            backend = Backend.from_str(text)
        check_growth(backend)
        return backend
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        message = " ".join(str(error).split())
        raise DataError(
            f"{fault}: {message[:300]}; use a file saved by the tokenizers library"
        ) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Redirect standard error, including output of native code, to the null device."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)


class Tokenizer:
    """A tokenizer that adds BOS and EOS to every text.

    With ``template``, the tokenizer's own post-processor adds the special tokens instead, as a
    pretrained text encoder expects.
    """

    def __init__(
        self, backend: Backend, source: str = "the tokenizer", template: bool = False
    ) -> None:
        """Wrap ``backend``; raise DataError, naming ``source``, if a special token is missing."""
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # "[EOS]" inside a text is encoded as plain text
        self.backend = backend
        self.source = source
        self.template = template
        if template:
            return
        if ends := self.template_ends():
            self.bos_id, self.eos_id = ends
            return
        missing = [kind for kind in NAMES if self.special(kind) is None]
        if missing:
            names = "; ".join(f"{kind}: one of {', '.join(NAMES[kind])}" for kind in missing)
            raise DataError(f"{source} lacks special tokens ({names}); add them to its vocabulary")
        self.bos_id, self.eos_id = (int(self.special(kind)) for kind in ("bos", "eos"))  # type: ignore[arg-type]

    def template_ends(self) -> tuple[int, int] | None:
        """Return the ids of the two tokens that the post-processor adds, if it adds two."""
        ids = self.backend.encode("", add_special_tokens=True).ids
        return (ids[0], ids[1]) if len(ids) == 2 else None

    def special(self, kind: str) -> int | None:
        """Return the id of the first known name of a special token in the vocabulary, or None."""
        return self.first_of(NAMES[kind])

    def first_of(self, names: Sequence[str]) -> int | None:
        """Return the id of the first of these tokens in the vocabulary, or None."""
        found = (self.backend.token_to_id(name) for name in names)
        return next((number for number in found if number is not None), None)

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token, or None if the vocabulary has none."""
        return self.first_of(MASKS)

    @property
    def special_ids(self) -> list[int]:
        """Ids of all special tokens."""
        added = self.backend.get_added_tokens_decoder()
        return sorted(number for number, token in added.items() if token.special)

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 8000, lowercase: bool = True) -> "Tokenizer":
        """Train byte-level BPE (Sennrich et al. 2016), which can encode any text."""
        backend = Backend(models.BPE())
        # texts are NFC already; collapse white space and strip it at both ends
        spaces = normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()
        steps = [normalizers.NFC(), *spaces, *([normalizers.Lowercase()] if lowercase else [])]
        backend.normalizer = normalizers.Sequence(steps)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Load a ``tokenizer.json`` file; raise DataError if it is missing or invalid."""
        path = Path(path)
        if not path.exists():
            raise DataError(f"{path}: tokenizer file not found")
        try:
            text = read_text(path, MAX_TOKENIZER_BYTES)
        except (OSError, RefusedFileError) as error:
            raise DataError(f"{path}: cannot be read as a tokenizer: {error}") from error
        return cls(_backend(text, f"{path}: not a valid tokenizer.json"), str(path))

    @classmethod
    def from_json(cls, text: str, template: bool = False) -> "Tokenizer":
        """Restore a tokenizer from the output of ``to_json``."""
        name = "the model's tokenizer.json"
        return cls(_backend(text, f"{name} cannot be read"), name, template)

    def to_json(self) -> str:
        """Serialize the tokenizer for a checkpoint."""
        return str(self.backend.to_str())

    @property
    def identity(self) -> tuple[str, bool, str]:
        """Everything that the tokens of a text follow from."""
        return self.to_json(), self.template, tokenizers.__version__

    def as_template(self) -> str:
        """Serialize the tokenizer with a post-processor that adds BOS and EOS, so that it can be
        restored with ``template``.
        """
        backend = Backend.from_str(self.to_json())
        ends = {str(backend.id_to_token(number)): number for number in (self.bos_id, self.eos_id)}
        bos, *others = ends
        backend.post_processor = TemplateProcessing(
            single=[bos, "$A", others[0] if others else bos], special_tokens=[*ends.items()]
        )
        return str(backend.to_str())

    def save(self, path: Path) -> None:
        """Write a ``tokenizer.json``."""
        self.backend.save(str(path))

    def __len__(self) -> int:
        """Return the vocabulary size, including added tokens."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Encode texts with special tokens, truncated to ``max_length`` with EOS kept."""
        return self.encode_measured(texts, max_length)[0]

    def encode_measured(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[list[list[int]], list[int]]:
        """Return the output of ``encode``, and the untruncated length of each text."""
        if self.template:
            self.backend.enable_truncation(max_length)
            encoded = self._encoded(texts, special=True)
            self.backend.no_truncation()  # keeps the serialized tokenizer unchanged
            overflow = [sum(o.special_tokens_mask.count(0) for o in e.overflowing) for e in encoded]
            lengths = [len(e.ids) + more for e, more in zip(encoded, overflow, strict=True)]
            return [list(e.ids) for e in encoded], lengths
        encoded = self._encoded(texts, special=False)
        truncated = [[self.bos_id, *e.ids[: max_length - 2], self.eos_id] for e in encoded]
        return truncated, [len(e.ids) + 2 for e in encoded]

    def encode_plain(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts without special tokens."""
        return [list(e.ids) for e in self._encoded(texts, special=False)] if texts else []

    def encode_template(self, parts: Sequence[str]) -> list[list[int]]:
        """Encode texts in which names of special tokens mean these tokens."""
        self.backend.encode_special_tokens = False
        try:
            return self.encode_plain(parts)
        finally:
            self.backend.encode_special_tokens = True

    def _encoded(self, texts: Sequence[str], special: bool) -> list[Encoding]:
        """Encode texts; raise DataError if the library panics, e.g. on a too complex pattern."""
        try:
            return list(self.backend.encode_batch(list(texts), add_special_tokens=special))
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            message = " ".join(str(error).split())
            raise DataError(
                f"{self.source} fails on a text such as {texts[0][:40]!r}: {message[:300]}; use "
                "another tokenizer"
            ) from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode tokens up to the first EOS, without special tokens."""
        ids = list(tokens)
        if self.eos_id in ids:
            ids = ids[: ids.index(self.eos_id)]
        return str(self.backend.decode(ids, skip_special_tokens=True)).strip()
