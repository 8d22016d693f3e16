"""CLIPScore and RefCLIPScore (Hessel et al., 2021) with any dual encoder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.errors import DataError, listed, truncate
from mmtx_cli.metric.embedding.clipscore import clip_scores
from mmtx_cli.metric.embedding.cosine import cosines
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.neural.batches import Vectors, encode, unit
from mmtx_cli.scoring.neural.dual_encoder import DualEncoder, File, file_of
from mmtx_cli.scoring.neural.long_captions import pieces
from mmtx_cli.scoring.neural.settings import NeuralSettings
from mmtx_cli.scoring.neural.texts import empty_note, pairs_of, trimmed
from mmtx_cli.scoring.settings import ScoreSettings


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return ``clipscore`` (caption and media) and ``refclipscore`` (also the references).

    Raises:
        ConfigError: if the model cannot be loaded, or compares no media with texts.
        DataError: if samples have no media that the model reads, or files cannot be read.
    """
    own, state = settings.neural.clipscore, _state(settings.neural)
    model = state.model
    files = _files(captions, model, own.modality)
    prefix = model.prefix if own.prefix is None else own.prefix.strip()
    texts = _Texts(state, prefix)
    predictions, references = trimmed(captions)
    long = texts.long([*predictions, *(text for group in references for text in group)])
    if long and own.long_captions == "error":
        raise DataError(_too_long(captions, long, model))
    media = _media_vectors(captions, files, state, settings.neural.batch_size)
    every = {text for own in (predictions, *references) for text in own}
    vectors = texts.vectors(every, own.long_captions == "split", settings.neural.batch_size)
    pairs = pairs_of(predictions, references, vectors)
    seen = cosines(vectors.unit, pairs.candidates, media.unit, media.rows(files))
    empty = np.array([not text for text in predictions])
    scores = clip_scores(seen, pairs.best(pairs.cosines(vectors.unit)), empty, own.weight)
    parameters = {
        **model.description(),
        "media": dict(Counter(file.modality for file in files)),
        "prefix": prefix,
        "weight": own.weight,
        "long_captions": own.long_captions,
        "long_caption_count": len(long),
    }
    return Measured(
        scores, parameters, _notes(long, model, own.long_captions) + empty_note("clipscore", empty)
    )


@dataclass
class _State:
    """A loaded model, and the vectors of what it has read.

    It is kept for the next system, whose media and references are the same.
    """

    model: DualEncoder
    media: Vectors[File] | None = None
    texts: Vectors[str] | None = None


@lru_cache(maxsize=1)
def _state(settings: NeuralSettings) -> _State:
    return _State(dual_encoder(settings))


def dual_encoder(settings: NeuralSettings) -> DualEncoder:
    """Return the model of the settings.

    Raises:
        CheckpointError: if a model of mmtx cannot be loaded.
        ConfigError: if it is no dual encoder, or one of the hub cannot be loaded.
    """
    own = settings.clipscore
    if own.ckpt:
        from mmtx_cli.scoring.neural.trained_dual import TrainedDualEncoder

        return TrainedDualEncoder(
            own.ckpt,
            settings.device,
            settings.batch_size,
            own.num_frames,
            settings.trusted_packages,
        )
    from mmtx_cli.api.load import device_of
    from mmtx_cli.scoring.neural.hub_dual import HubDualEncoder
    from mmtx_cli.scoring.neural.text_encoder import errors_of

    with errors_of("clipscore"):
        device = device_of(settings.device)
        return HubDualEncoder(str(own.weights), device, settings.batch_size, own.num_frames)


@dataclass
class _Texts:
    """Captions as a model reads them: with a prefix, and in pieces if they are too long."""

    state: _State
    prefix: str

    @property
    def model(self) -> DualEncoder:
        return self.state.model

    def prepared(self, texts: Sequence[str]) -> list[str]:
        return [f"{self.prefix} {text}" if self.prefix else text for text in texts]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self.model.lengths(self.prepared(texts))

    def long(self, texts: Sequence[str]) -> set[str]:
        """Return the texts that are longer than the model reads."""
        different = list(dict.fromkeys(texts))
        limit = self.model.limit
        if limit is None:
            return set()
        lengths = self.lengths(different)
        return {text for text, n in zip(different, lengths, strict=True) if n > limit}

    def vectors(self, texts: set[str], split: bool, batch_size: int) -> Vectors[str]:
        """Return the vector of each text; that of a long one is the mean of those of its pieces.

        Args:
            texts: The texts.
            split: Whether long texts are split; otherwise the model cuts them.
            batch_size: Texts per batch.
        """
        long = self.long(sorted(texts)) if split else set()
        parts = {
            text: pieces(text, self.model.limit, self.lengths)
            if text in long and self.model.limit is not None
            else [text]
            for text in sorted(texts)
        }
        found = self.state.texts = encode(
            [part for own in parts.values() for part in own],
            self.lengths,
            lambda batch: self.model.texts(self.prepared(batch)),
            batch_size,
            "clipscore: captions",
            self.state.texts,
        )
        whole = np.stack([found.unit[found.rows(own)].mean(axis=0) for own in parts.values()])
        return Vectors(unit(whole), {text: i for i, text in enumerate(parts)})


def _files(captions: Captions, model: DualEncoder, modality: str | None) -> list[File]:
    """Return the file of each sample and the stream as which the model reads it.

    Raises:
        DataError: naming all samples without one.
    """
    if not any(captions.media):
        raise DataError(
            "clipscore: the references name no pictures, films or sounds; use a manifest with "
            "image, video or audio as references, or for COCO set images=FOLDER"
        )
    files, faults = [], []
    segments = captions.segments or [None] * len(captions)
    for name, media, segment in zip(captions.ids, captions.media, segments, strict=True):
        found = file_of(media, model.streams, modality, segment)
        if found is None:
            wanted = " or ".join(model.streams) if modality is None else modality
            has = f"only {', '.join(media)}" if media else "no file"
            faults.append(f"id {name}: has {has}; clipscore compares {wanted} with captions")
        else:
            files.append(found)
    if faults:
        raise DataError(*truncate(faults))
    return files


def _media_vectors(
    captions: Captions, files: Sequence[File], state: _State, batch_size: int
) -> Vectors[File]:
    """Return the vector of each file.

    Raises:
        DataError: naming all that cannot be read, with the ids of their samples.
    """
    unread: dict[File, str] = {}

    def vectors(batch: list[File]) -> Float[np.ndarray, "b d"]:
        found: dict[int, Any] = {}
        for stream in dict.fromkeys(file.stream for file in batch):
            rows = [i for i, file in enumerate(batch) if file.stream == stream]
            values, reasons = state.model.media([batch[i] for i in rows])
            unread.update({batch[rows[i]]: reason for i, reason in reasons.items()})
            found |= dict(zip(rows, values, strict=True))
        return np.stack([found[i] for i in range(len(batch))])

    encoded = encode(
        files,
        lambda each: [0] * len(each),
        vectors,
        batch_size,
        "clipscore: media",
        state.media,
    )
    if unread:
        faults = [
            f"id {name}: {file.path}: {unread[file]}"
            for name, file in zip(captions.ids, files, strict=True)
            if file in unread
        ]
        raise DataError(*truncate(faults))
    state.media = encoded
    return encoded


def _too_long(captions: Captions, long: set[str], model: DualEncoder) -> str:
    predictions, references = trimmed(captions)
    ids = [
        name
        for name, caption, own in zip(captions.ids, predictions, references, strict=True)
        if long.intersection([caption, *own])
    ]
    return (
        f"clipscore.long_captions=error: {len(long)} captions are longer than the {model.limit} "
        f"tokens that the model reads (ids {listed(ids)}); shorten them, or set it to split or cut"
    )


def _notes(long: set[str], model: DualEncoder, how: str) -> tuple[str, ...]:
    if not long:
        return ()
    done: Mapping[str, str] = {
        "split": "each is split, and its vector is the mean of those of its pieces (the original "
        "ignores the rest: clipscore.long_captions=cut)",
        "cut": "what follows is ignored, as in the original",
    }
    return (
        f"clipscore: {len(long)} different captions are longer than the {model.limit} tokens that "
        f"the model reads; {done[how]}",
    )
