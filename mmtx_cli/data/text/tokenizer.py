"""Text to token numbers and back: a byte-level BPE trained on the captions, or a given file."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Encoding, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from mmtx_cli.data.text.tokenizer_growth import check_growth
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted_file import MAX_TOKENIZER_BYTES, RefusedFileError, read_text

PAD, UNK, BOS, EOS, MASK = SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]")
# what a tokenizer from elsewhere may call them
NAMES = {
    "pad": (PAD, "<pad>", "<|pad|>", "<|endoftext|>"),
    "bos": (BOS, "<s>", "[CLS]", "<|startoftext|>", "<bos>", "<|endoftext|>"),
    "eos": (EOS, "</s>", "[SEP]", "<|endoftext|>", "<eos>"),
}
MASKS = (MASK, "<mask>", "<|mask|>")


def _backend(text: str, fault: str) -> Backend:
    """Build the library's tokenizer.

    Raises:
        DataError: beginning with ``fault``. The library raises plain Exception, or panics: that
            is a BaseException, and is printed to standard error, which is closed meanwhile.
    """
    try:
        with _silenced():
            backend = Backend.from_str(text)
        check_growth(backend)
        return backend
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())
        raise DataError(
            f"{fault}: {said[:300]}; give a file that the tokenizers library saved"
        ) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Send what a library prints to standard error nowhere."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Tokenizer:
    """A tokenizer whose texts begin with BOS and end with EOS.

    With ``template`` they begin and end as the tokenizer itself has it: what a pretrained text
    encoder expects, whatever its special tokens are.
    """

    def __init__(
        self, backend: Backend, source: str = "the tokenizer", template: bool = False
    ) -> None:
        """``source`` names it in messages. Raises DataError if a special token is missing."""
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # a text that says "[EOS]" says no more than that
        self.backend = backend
        self.source = source
        self.template = template
        if template:
            return
        missing = [kind for kind in NAMES if self.special(kind) is None]
        if missing:
            names = "; ".join(f"{kind}: one of {', '.join(NAMES[kind])}" for kind in missing)
            raise DataError(f"{source} lacks special tokens ({names}); add them to its vocabulary")
        self.pad_id, self.bos_id, self.eos_id = (int(self.special(kind)) for kind in NAMES)  # type: ignore[arg-type]

    def special(self, kind: str) -> int | None:
        """Number of the first of the known names that the vocabulary has."""
        return self.first_of(NAMES[kind])

    def first_of(self, names: Sequence[str]) -> int | None:
        """Number of the first token that the vocabulary has."""
        found = (self.backend.token_to_id(name) for name in names)
        return next((number for number in found if number is not None), None)

    @property
    def mask_id(self) -> int | None:
        """The token that stands for a hidden one; None where there is none."""
        return self.first_of(MASKS)

    @property
    def special_ids(self) -> list[int]:
        """Tokens that are no words: where texts begin and end, and the like."""
        added = self.backend.get_added_tokens_decoder()
        return sorted(number for number, token in added.items() if token.special)

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 8000, lowercase: bool = True) -> "Tokenizer":
        """Learn byte-pair merges (Sennrich et al. 2016) on bytes, so that no text is unknown."""
        backend = Backend(models.BPE())
        # rows come composed; any white space is one space, and none ends a text
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
        """Read a ``tokenizer.json``."""
        path = Path(path)
        if not path.exists():
            raise DataError(f"{path}: there is no such tokenizer file")
        try:
            text = read_text(path, MAX_TOKENIZER_BYTES)
        except (OSError, RefusedFileError) as error:
            raise DataError(f"{path}: cannot be read as a tokenizer: {error}") from error
        return cls(_backend(text, f"{path}: not a tokenizer.json"), str(path))

    @classmethod
    def from_json(cls, text: str, template: bool = False) -> "Tokenizer":
        """Rebuild one from ``to_json``."""
        name = "the model's tokenizer.json"
        return cls(_backend(text, f"{name} cannot be read"), name, template)

    def to_json(self) -> str:
        """Everything there is to it, as a checkpoint keeps it."""
        return str(self.backend.to_str())

    def save(self, path: Path) -> None:
        """Write a ``tokenizer.json``."""
        self.backend.save(str(path))

    def __len__(self) -> int:
        """Tokens in the vocabulary."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    def encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """BOS, the text, EOS; cut to ``max_length`` tokens with EOS kept."""
        return self.encode_measured(texts, max_length)[0]

    def encode_measured(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[list[list[int]], list[int]]:
        """What ``encode`` gives, and how many tokens each text would have uncut."""
        if self.template:
            self.backend.enable_truncation(max_length)
            encoded = self._encoded(texts, special=True)
            self.backend.no_truncation()  # what is saved does not depend on what was encoded
            rest = [sum(o.special_tokens_mask.count(0) for o in e.overflowing) for e in encoded]
            lengths = [len(e.ids) + more for e, more in zip(encoded, rest, strict=True)]
            return [list(e.ids) for e in encoded], lengths
        encoded = self._encoded(texts, special=False)
        cut = [[self.bos_id, *e.ids[: max_length - 2], self.eos_id] for e in encoded]
        return cut, [len(e.ids) + 2 for e in encoded]

    def _encoded(self, texts: Sequence[str], special: bool) -> list[Encoding]:
        """Raises DataError where the library panics: a pattern may take too many steps."""
        try:
            return list(self.backend.encode_batch(list(texts), add_special_tokens=special))
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            said = " ".join(str(error).split())
            raise DataError(
                f"{self.source} fails on a text such as {texts[0][:40]!r}: {said[:300]}; give "
                "another tokenizer"
            ) from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Text up to the first EOS, without special tokens."""
        said = list(tokens)
        if self.eos_id in said:
            said = said[: said.index(self.eos_id)]
        return str(self.backend.decode(said, skip_special_tokens=True)).strip()
