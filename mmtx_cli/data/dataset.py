"""Map-style dataset of manifest rows: decodes files, tokenizes texts and encodes targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.counter_rng.bits import random_bits
from mmtx_cli.data.cache.entries import CacheIndex
from mmtx_cli.data.crop_report import crop_warning, truncation_warning
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.derived import stored_keys
from mmtx_cli.data.modality_columns import with_input
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.data.sampling.mixture_spec import Mixing
from mmtx_cli.data.sampling.permutation import source_rows
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.columns import TEXT_TARGETS, TextColumn, tokenized_column
from mmtx_cli.data.text.drawn_texts import DrawnTexts
from mmtx_cli.data.text.prompt import prompt_column
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits

PROMPT = "prompt"
"""Name of the prompts among the text columns and the inputs."""
AUGMENT, PLACE, DROP = 2, 3, 4
"""Random streams for augmentation, for the position of video and audio clips in time, and for
modality dropout.
"""


@dataclass
class Example:
    """One preprocessed sample; absent modalities and targets have no entry."""

    id: str
    inputs: dict[str, Tensor] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    fault: dict[str, str] | None = None
    corpus: str = ""


class ManifestDataset(Dataset):
    """Random access to preprocessed samples by (turn, row).

    In training, the turn is the epoch: caption (or answer) and augmentation are drawn from (seed,
    epoch, id). In evaluation, the turn is the index of the text: 0 returns the whole sample, 1 and
    up return only the sample's further texts (retrieval scores every caption of an image).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        preparation: Preprocessing,
        tokenizer: Tokenizer | None,
        *,
        known: Targets | None = None,
        training: bool = False,
        seed: int = 0,
        augment: Callable[[Tensor], Tensor] | None = None,
        text_tokenizer: Tokenizer | None = None,
        limits: DecodeLimits | None = None,
        dropout: Mapping[str, float] | None = None,
        mixing: Mixing | None = None,
        cached: Mapping[str, CacheIndex] | None = None,
        taught: Mapping[str, CacheIndex] | None = None,
        captions_per_sample: int = 1,
    ) -> None:
        """Tokenize all texts; files are read on access.

        Args:
            samples: Manifest rows.
            modalities: Input modalities of the model.
            needs: Targets of the heads.
            preparation: Preprocessing settings.
            tokenizer: Tokenizer of target texts, and of input texts without ``text_tokenizer``.
            known: Known classes and answers.
            training: Whether to draw texts and clips, augment, and apply modality dropout.
            seed: Seed of all draws.
            augment: Augmentation of images and frames.
            text_tokenizer: The text encoder's own tokenizer, if it has one.
            limits: Decoding limits for each file.
            dropout: Probability of dropping each modality in training; one is always kept.
            mixing: Settings that differ between corpora, if there are several.
            cached: Cached outputs by encoder (e.g. ``encoder.image``), used instead of raw input.
            taught: Cached outputs of teachers, which become targets.
            captions_per_sample: Maximum number of target captions of a training sample. Above 1,
                the target is [k, l], padded with IGNORE_INDEX.
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
        self.cached = {entries.part.card.modality: entries for entries in (cached or {}).values()}
        self.teacher_outputs = taught or {}
        self.captions_per_sample = captions_per_sample
        self.keys = stored_keys(samples)
        columns = self.tokenized(text_tokenizer or tokenizer, tokenizer)
        # each corpus is in its own epoch
        epochs = max(1, len(self.mixing.names))
        self.texts = DrawnTexts(columns, training, seed, self.keys, epochs)
        self.source_rows: dict[str, np.ndarray] = {}

    def tokenized(
        self, input_tokenizer: Tokenizer | None, tokenizer: Tokenizer | None
    ) -> dict[str, TextColumn]:
        """Tokenize the texts that the model reads, and those that its heads learn to generate."""
        source, length = self.preparation.text, self.preparation.max_length
        columns: dict[str, TextColumn] = {}
        if "text" in self.modalities and source and "text" not in self.preparation.features:
            columns["text"] = tokenized_column(
                self.samples, source, input_tokenizer, length, self.mixing.texts
            )
        for name in TEXT_TARGETS:
            if name in self.needs:
                columns[name] = tokenized_column(self.samples, name, tokenizer, length)
        if self.preparation.prompt is not None:
            columns[PROMPT] = prompt_column(self.samples, self.preparation.prompt, tokenizer)
        return columns

    def text_truncation_warnings(self) -> list[str]:
        """Return a message for each column with texts longer than ``max_length``."""
        text_column = self.preparation.text
        nouns = {
            "text": "captions" if text_column == "captions" else "texts",
            "answer_text": "answers",
        }
        messages = [
            column.truncation_warning(nouns.get(name, name))
            for name, column in self.texts.columns.items()
        ]
        return list(dict.fromkeys(line for line in messages if line))

    def crop_warnings(self) -> list[str]:
        """Return a message per modality that ``data.resize_mode=crop`` cuts a large part of."""
        visual = {"image", "video"} & {*self.modalities} - {*self.preparation.features}
        names = sorted(visual) if self.preparation.resize_mode == "crop" else []
        messages = [crop_warning(self.samples, name, self.media.guard) for name in names]
        return [line for line in messages if line]

    def truncation_warnings(self) -> list[str]:
        """Return a message if audio files are longer than ``audio_seconds``."""
        p = self.preparation
        if "audio" not in self.modalities or "audio" in p.features or "audio" in self.cached:
            return []
        message = truncation_warning(self.samples, p.audio_seconds, self.media.guard)
        return [message] if message else []

    def shuffle(self, modality: str, seed: int) -> None:
        """Shuffle a modality: each sample gets that of another sample instead of its own."""
        column = self.texts.columns.get(modality)
        if column:
            has = np.diff(column.first) > 0
        else:
            is_read = modality in self.modalities
            has = with_input(self.samples, modality, self.preparation.features) & is_read
        self.source_rows[modality] = source_rows(has, seed)

    def source_row(self, modality: str, row: int) -> int:
        """Return the row that provides a modality: the row itself unless it is shuffled."""
        return int(self.source_rows[modality][row]) if modality in self.source_rows else row

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        turn, row = int(key[0]), int(key[1])
        sample = self.samples[row]
        example = Example(sample.id, corpus=sample.corpus)
        try:
            self.read(example, turn, row)
        except UnreadableError as error:
            # keep the sample with nothing in it rather than substituting another one
            fault = {"id": example.id, "path": error.path, "reason": error.reason}
            return Example(example.id, fault=fault, corpus=sample.corpus)
        return example

    def read(self, example: Example, turn: int, row: int) -> None:
        """Fill in the sample's inputs and targets."""
        is_whole = self.training or turn == 0
        kept = self.kept_modalities(turn, row)
        sample, lender = self.samples[row], self.source_row("text", row)
        if "text" in kept and (tokens := self.text("text", turn, lender)) is not None:
            example.inputs["text"] = tokens
        self.read_prompt(example, row)
        if not is_whole:
            return
        self.read_media(example, kept, turn, row)
        for need in self.needs:
            is_text = need in TEXT_TARGETS
            target = self.target_tokens(need, turn, row) if is_text else self.known.of(need, sample)
            if target is not None:
                example.targets[need] = target
        for name, entries in self.teacher_outputs.items():
            which = self.texts.which("text", turn, row) if entries.texts else 0
            if which is not None and (vector := entries.read(row, which)) is not None:
                example.targets[name] = vector[0]

    def read_prompt(self, example: Example, row: int) -> None:
        """Fill in the prompt of a language model, which has the text of the row."""
        if PROMPT in self.texts.columns:
            example.inputs[PROMPT] = self.texts.tokens(PROMPT, self.source_row("text", row), 0)

    def read_media(self, example: Example, kept: Sequence[str], turn: int, row: int) -> None:
        """Fill in modalities from media files, feature files or the cache.

        Args:
            example: The example to fill in.
            kept: Modalities to read.
            turn: Epoch in training, index of the text in evaluation.
            row: Index of the sample.
        """
        seed, offset = self.augmentation_seed(turn, row), self.offset(turn, row)
        for name in kept:
            sample = self.samples[self.source_row(name, row)]
            if name in self.texts.columns:
                continue  # texts are read from the manifest
            if name in self.cached:
                if (tokens := self.cached[name].read(self.source_row(name, row))) is not None:
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
        """Return the modalities that the sample has; text is always included (see ``has_raw``)."""
        sample, features = self.samples[row], self.preparation.features
        return [
            name
            for name in self.modalities
            if (name in sample.features if name in features else has_raw(sample, name))
        ]

    def kept_modalities(self, turn: int, row: int) -> list[str]:
        """Return the modalities of the sample that remain after modality dropout."""
        has = self.has(row)
        if not any(self.dropout.values()) or not self.training:
            return has
        if "text" not in self.preparation.features:
            texts = self.texts.columns.get("text")
            has = [m for m in has if m != "text" or (texts is not None and texts.count(row))]
        random = np.random.default_rng(self.draw(DROP, turn, row))
        kept = [
            m
            for m, probability in zip(has, random.random(len(has)), strict=True)
            if probability >= self.dropout[m]
        ]
        return kept or ([has[random.integers(len(has))]] if has else [])

    def draw(self, purpose: int, turn: int, row: int) -> int:
        """Return 63 random bits for a purpose, a pure function of (seed, turn, id)."""
        bits = random_bits(self.seed, turn, self.keys[row : row + 1], purpose)[0]
        return int(bits >> np.uint64(1))

    def augmentation_seed(self, turn: int, row: int) -> int:
        """Return the sample's augmentation seed, or 0 without augmentation."""
        return self.draw(AUGMENT, turn, row) if self.media.augment is not None else 0

    def offset(self, turn: int, row: int) -> float | None:
        """Return the relative position of video and audio clips; None (centered) in evaluation."""
        return self.draw(PLACE, turn, row) / 2**63 if self.training else None

    def text(self, name: str, turn: int, row: int) -> Tensor | None:
        """Return the tokens of the drawn or indexed text, or its cached encoder output."""
        which = self.texts.which(name, turn, row)
        if which is None:
            return None
        if name in self.cached:
            return self.cached[name].read(row, which)
        return self.texts.tokens(name, row, which)

    def target_tokens(self, name: str, turn: int, row: int) -> Tensor | None:
        """Return the target tokens of a text column; in training possibly several captions."""
        draws_several = self.training and name == "captions" and self.captions_per_sample > 1
        first = self.texts.which(name, turn, row)
        if first is None or not draws_several:
            return self.text(name, turn, row)
        return self.texts.several(name, row, first, self.captions_per_sample)


def has_raw(sample: Sample, name: str) -> bool:
    """Return True if the sample has files of a modality; always True for text (see columns)."""
    return name == "text" or bool(getattr(sample, name))
