"""From a row of the manifest to an example: files decoded, texts tokenised, targets encoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from mmtx_cli.config.preprocessing import Preparation
from mmtx_cli.counter_rng import draws, id_keys
from mmtx_cli.data.cache.entries import Entries
from mmtx_cli.data.crop_report import cropped, shortened
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.data.sampling.mixture_spec import Mixing
from mmtx_cli.data.sampling.permutation import lenders
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.columns import SAID, TextColumn, column_texts, column_weights
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.types import IGNORE

AUGMENT, PLACE, DROP = 2, 3, 4
"""Purposes of the draws that seed a sample's augmentation, choose the place in time of its clip
and sound, and take modalities away.
"""


@dataclass
class Example:
    """One prepared sample; a modality or target that it lacks has no entry."""

    id: str
    inputs: dict[str, Tensor] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    fault: dict[str, str] | None = None
    corpus: str = ""


class Samples(Dataset):
    """Random access to prepared samples by (turn, row).

    In training the turn is the epoch: caption (or answer) and augmentation are drawn from (seed,
    epoch, id).
    In evaluation the turn is the number of the text: 0 brings the whole sample, 1 and up bring
    the further texts alone (every caption of a picture counts in retrieval).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        preparation: Preparation,
        tokenizer: Tokenizer | None,
        known: Targets | None = None,
        training: bool = False,
        seed: int = 0,
        augment: Callable[[Tensor], Tensor] | None = None,
        text_tokenizer: Tokenizer | None = None,
        limits: DecodeLimits | None = None,
        dropout: Mapping[str, float] | None = None,
        mixing: Mixing | None = None,
        cached: Mapping[str, Entries] | None = None,
        taught: Mapping[str, Entries] | None = None,
        captions_per_sample: int = 1,
    ) -> None:
        """``known`` are the classes and answers that there are.

        ``text_tokenizer`` is the text encoder's own, where it brings one. ``limits`` are those of
        one file.

        ``dropout`` is the chance, by modality, that a training sample loses it, as long as another
        is left. ``mixing`` is what is particular to each corpus, if there are several.

        In the place of modalities whose encoders are in ``cached`` (such as ``encoder.image``) a
        sample brings what these made of it, and of teachers in ``taught`` a target.

        With ``captions_per_sample`` above 1 the target of a training sample is as many of its
        captions, [k, l] with IGNORE behind the shorter ones.
        """
        self.samples = samples
        self.mixing = mixing or Mixing()
        self.modalities = tuple(modalities)
        self.needs = tuple(needs)
        self.preparation = preparation
        self.known = known or Targets()
        self.training = training
        self.seed = seed
        self.media = Media(preparation, augment, limits)
        self.dropout = dropout or {}
        self.cached = {of.part.card.modality: of for of in (cached or {}).values()}
        self.taught = taught or {}
        self.captions_per_sample = captions_per_sample
        self.keys = id_keys(sample.id for sample in samples)
        self.columns: dict[str, TextColumn] = {}
        if "text" in modalities and preparation.text and "text" not in preparation.features:
            self.columns["text"] = self.column(
                preparation.text, text_tokenizer or tokenizer, self.mixing.texts
            )
        for name in SAID:
            if name in needs:
                self.columns[name] = self.column(name, tokenizer)
        self.last_drawn: dict[tuple[str, int], np.ndarray] = {}
        self.lenders: dict[str, np.ndarray] = {}

    def cut_texts(self) -> list[str]:
        """Say which texts are longer than ``max_length``, a line a column."""
        read = self.preparation.text
        called = {"text": "captions" if read == "captions" else "texts", "answer_text": "answers"}
        said = [column.cut(called.get(name, name)) for name, column in self.columns.items()]
        return list(dict.fromkeys(line for line in said if line))

    def cropped(self) -> list[str]:
        """Say how much ``data.fit=crop`` cuts away, where it is much, a line a modality."""
        shapes = {"image", "video"} & {*self.modalities} - {*self.preparation.features}
        cut = sorted(shapes) if self.preparation.fit == "crop" else []
        said = [cropped(self.samples, name, self.media.guard) for name in cut]
        return [line for line in said if line]

    def shortened(self) -> list[str]:
        """Say what ``audio_seconds`` leaves out, in one line, if it does."""
        p = self.preparation
        if "audio" not in self.modalities or "audio" in p.features or "audio" in self.cached:
            return []
        said = shortened(self.samples, p.audio_seconds, self.media.guard)
        return [said] if said else []

    def shuffle(self, modality: str, seed: int) -> None:
        """Let every sample bring one modality of another sample in place of its own."""
        column = self.columns.get(modality)
        rows = range(len(self.samples))
        has = [column.count(row) > 0 if column else modality in self.has(row) for row in rows]
        self.lenders[modality] = lenders(np.array(has, dtype=bool), seed)

    def lender(self, modality: str, row: int) -> int:
        """The row whose modality a sample brings: its own, but for what is shuffled."""
        return int(self.lenders[modality][row]) if modality in self.lenders else row

    def column(
        self, name: str, tokenizer: Tokenizer | None, own: Mapping[str, str] | None = None
    ) -> TextColumn:
        """The texts of a column of the manifest, or of the corpus' own, as tokens."""
        assert tokenizer is not None, "texts need a tokenizer"
        texts, weights = column_texts(self.samples, name, own), column_weights(self.samples, name)
        return TextColumn(texts, tokenizer, self.preparation.max_length, weights)

    def __len__(self) -> int:
        return len(self.samples)

    def drawn(self, column: str, epoch: int) -> np.ndarray:
        """Which text of each sample this epoch uses; drawn for all samples at once."""
        key = column, epoch
        if key not in self.last_drawn:
            # each corpus has its own epoch
            while len(self.last_drawn) >= len(self.columns) * max(1, len(self.mixing.names)):
                del self.last_drawn[next(iter(self.last_drawn))]
            self.last_drawn[key] = self.columns[column].drawn(self.seed, epoch, self.keys)
        return self.last_drawn[key]

    def lengths(self, epoch: int) -> np.ndarray:
        """Tokens of the texts that each sample brings in this epoch."""
        total = np.zeros(len(self.samples), dtype=np.int64)
        for name, column in self.columns.items():
            which = self.drawn(name, epoch) if self.training else np.zeros_like(total)
            total += column.lengths(which)
        return total

    def __getitem__(self, key: tuple[int, int]) -> Example:
        turn, row = int(key[0]), int(key[1])
        sample = self.samples[row]
        example = Example(sample.id, corpus=sample.corpus)
        try:
            self.read(example, turn, row)
        except UnreadableError as error:
            # the sample stays, as one that lacks everything: nobody else's content takes its place
            fault = {"id": example.id, "path": error.path, "reason": error.reason}
            return Example(example.id, fault=fault, corpus=sample.corpus)
        return example

    def read(self, example: Example, turn: int, row: int) -> None:
        """Fill in what the sample has."""
        whole = self.training or turn == 0
        kept = self.kept(turn, row)
        sample, lender = self.samples[row], self.lender("text", row)
        if "text" in kept and (tokens := self.text("text", turn, lender)) is not None:
            example.inputs["text"] = tokens
        if not whole:
            return
        self.read_media(example, kept, turn, row)
        for need in self.needs:
            said = need in SAID
            target = self.said(need, turn, row) if said else self.known.of(need, sample)
            if target is not None:
                example.targets[need] = target
        for name, entries in self.taught.items():
            which = self.which("text", turn, row) if entries.texts else 0
            if which is not None and (vector := entries.read(row, which)) is not None:
                example.targets[name] = vector[0]

    def read_media(self, example: Example, kept: Sequence[str], turn: int, row: int) -> None:
        """Fill in what files hold of the modalities in ``kept``, or the cache in their place."""
        seed, offset = self.augmentation_seed(turn, row), self.offset(turn, row)
        for name in kept:
            sample = self.samples[self.lender(name, row)]
            if name in self.columns:
                continue  # texts are no files
            if name in self.cached:
                if (tokens := self.cached[name].read(self.lender(name, row))) is not None:
                    example.inputs[name] = tokens
            elif name in self.preparation.features:
                example.inputs[name] = self.media.features(sample, name)
            elif name == "image":
                example.inputs[name] = self.media.pictures(sample, seed)
            elif name == "video":
                example.inputs[name] = self.media.clip(sample, seed, offset).frames
            elif name == "audio" and (sound := self.media.sound(sample, offset)) is not None:
                example.inputs[name] = sound

    def has(self, row: int) -> list[str]:
        """The modalities that the manifest gives the sample, and the text."""
        sample, features = self.samples[row], self.preparation.features
        return [
            name
            for name in self.modalities
            if (name in sample.features if name in features else has_raw(sample, name))
        ]

    def kept(self, turn: int, row: int) -> list[str]:
        """The modalities that the sample has and that are not taken away this time."""
        has = self.has(row)
        if not any(self.dropout.values()) or not self.training:
            return has
        if "text" not in self.preparation.features:
            texts = self.columns.get("text")
            has = [m for m in has if m != "text" or (texts is not None and texts.count(row))]
        random = np.random.default_rng(self.draw(DROP, turn, row))
        kept = [
            m
            for m, chance in zip(has, random.random(len(has)), strict=True)
            if chance >= self.dropout[m]
        ]
        return kept or ([has[random.integers(len(has))]] if has else [])

    def draw(self, purpose: int, turn: int, row: int) -> int:
        """63 random bits for one purpose, of (seed, turn, id) alone."""
        bits = draws(self.seed, turn, self.keys[row : row + 1], purpose)[0]
        return int(bits >> np.uint64(1))

    def augmentation_seed(self, turn: int, row: int) -> int:
        """Drawn where pictures are augmented."""
        return self.draw(AUGMENT, turn, row) if self.media.augment is not None else 0

    def offset(self, turn: int, row: int) -> float | None:
        """Where in time clip and sound are taken: drawn in training, the centre in evaluation."""
        return self.draw(PLACE, turn, row) / 2**63 if self.training else None

    def text(self, name: str, turn: int, row: int) -> Tensor | None:
        """Tokens of the drawn or numbered text; of a cached one, what the encoder made of them."""
        which = self.which(name, turn, row)
        if which is None:
            return None
        if name in self.cached:
            return self.cached[name].read(row, which)
        return torch.from_numpy(self.columns[name].get(row, which).astype(np.int64))

    def said(self, name: str, turn: int, row: int) -> Tensor | None:
        """Tokens of the text, or in training of the captions, that is to be learned."""
        several = self.training and name == "captions" and self.captions_per_sample > 1
        first = self.which(name, turn, row)
        if first is None or not several:
            return self.text(name, turn, row)
        column = self.columns[name]
        count = column.count(row)
        chosen = [(first + i) % count for i in range(min(self.captions_per_sample, count))]
        tokens = [torch.from_numpy(column.get(row, i).astype(np.int64)) for i in chosen]
        return pad_sequence(tokens, batch_first=True, padding_value=IGNORE)

    def which(self, name: str, turn: int, row: int) -> int | None:
        """The number of the drawn or numbered text; None if there is none."""
        if name not in self.columns:
            return None
        which = int(self.drawn(name, turn)[row]) if self.training else turn
        return which if which < self.columns[name].count(row) else None


def has_raw(sample: Sample, name: str) -> bool:
    """Does a sample have files of a modality? Which texts there are, their column knows."""
    return name == "text" or bool(getattr(sample, name))
