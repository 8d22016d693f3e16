"""Data of a run, built from its settings: samples, and what the model must know about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from jaxtyping import Bool

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.config.preprocessing import MODALITIES, Preprocessing
from mmtx_cli.data.cache.card import BODY
from mmtx_cli.data.cache.entries import Cache, CacheIndex, Reader
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.features.statistics import feature_sizes
from mmtx_cli.data.manifest.labels import label_fault
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import (
    LABEL,
    corpus_codes,
    has_label_lists,
    label_texts,
    present,
    taken,
    values,
)
from mmtx_cli.data.mixture import mixing_of, read_corpora
from mmtx_cli.data.sampling.mixture_spec import Mixing
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.columns import column_texts
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.tokenizer_choice import (
    decoder_prompt,
    pretrained_tokenizer,
    run_tokenizer,
    stored_input_tokenizer,
)
from mmtx_cli.data.text.vqa_answers import answer_names
from mmtx_cli.errors import DataError, truncate
from mmtx_cli.media.transform import augmentation
from mmtx_cli.media.worker.limits import DecodeLimits

NEEDS: Mapping[str, tuple[str, str]] = {
    "captions": ("captions", "captions"),
    "label": ("a label", "label"),
    "number": ("a numeric label", "number"),
    "answers": ("answers", "answers"),
    "answer_text": ("answers", "answers"),
}
"""Targets that heads may need: a description, and the values that a row has then
(``manifest/table/facts.py``).
"""


@dataclass
class Corpus:
    """A validated data set, with its tokenizers, classes and answers."""

    manifest: Manifest
    settings: DataSettings
    preparation: Preprocessing
    tokenizer: Tokenizer | None
    label_names: list[str]
    multi_label: bool
    answer_names: list[str]
    text_tokenizer: Tokenizer | None = None
    """The text encoder's own tokenizer, if it has one."""
    trained_labels: bool = False
    """Whether the label names are those of a trained model, which has no other classes."""
    mixing: Mixing | None = None
    """Settings that differ between corpora, if there are several."""
    cache: Cache | None = None
    """Cached outputs of frozen encoders, used instead of raw input."""

    def config_values(self) -> dict[str, Any]:
        """Return the root configuration keys that are determined by the data."""
        t, input_tokenizer = self.tokenizer, self.text_tokenizer or self.tokenizer
        return {
            "vocab_size": len(t) if t else None,
            "bos_id": t.bos_id if t else None,
            "eos_id": t.eos_id if t else None,
            "text_vocab_size": len(input_tokenizer) if input_tokenizer else None,
            "mask_id": input_tokenizer.mask_id if input_tokenizer else None,
            "special_ids": input_tokenizer.special_ids if input_tokenizer else None,
            "label_names": self.label_names,
            "multi_label": self.multi_label,
            "answer_names": self.answer_names,
            "feature_sizes": {name: self.preparation.features.get(name) for name in MODALITIES},
            **number_facts(self.manifest.split("train")),
        }

    def trained_rows(self, head: str, rows: Sequence[Sample]) -> Bool[np.ndarray, " n"]:
        """Return which of the samples are of corpora that a head is trained on."""
        if self.mixing is None:
            return np.ones(len(rows), dtype=bool)
        names, codes = corpus_codes(rows)
        return np.array([self.mixing.trains_on(head, name) for name in names], dtype=bool)[codes]

    def trains_on(self, head: str, row: Sample) -> bool:
        """Return True if a head is trained on a sample's corpus; always True without a mixture."""
        return self.mixing is None or self.mixing.trains_on(head, row.corpus)

    def rows(self, split: str | None) -> Sequence[Sample]:
        """Return the samples of a split (None for all), up to ``data.limit_samples`` per corpus.

        Raises:
            DataError: if a trained model does not know some of the labels.
        """
        rows = self.limited(split)
        if self.trained_labels:
            check_labels_known(self, rows)
        return rows

    def limited(self, split: str | None) -> Sequence[Sample]:
        """Return the samples of a split as ``rows`` does, without checking labels."""
        rows = self.manifest.samples if split is None else self.manifest.split(split)
        limit = self.settings.limit_samples
        if limit is None:
            return rows
        names, codes = corpus_codes(rows)
        firsts = [np.flatnonzero(codes == i)[:limit] for i in range(len(names))]
        return taken(rows, np.sort(np.concatenate(firsts))) if firsts else rows

    def samples(
        self,
        rows: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        training: bool = False,
        seed: int = 0,
        teachers: Sequence[str] = (),
    ) -> ManifestDataset:
        """Return a dataset of preprocessed samples.

        Args:
            rows: The samples.
            modalities: Input modalities of the model.
            needs: Targets of the heads.
            training: Whether to augment, draw texts and apply modality dropout.
            seed: Seed of all draws.
            teachers: Teachers whose cached outputs become targets.

        Raises:
            DataError: if a head needs labels and some are unknown, or cache entries are missing.
        """
        if "label" in needs:
            check_labels_known(self, rows)
        augment = augmentation(self.preparation.image_size, **asdict(self.settings.augment))
        encoders = [part for n in modalities for part in (f"encoder.{n}", f"encoder.{n}{BODY}")]
        return ManifestDataset(
            rows,
            modalities,
            needs,
            self.preparation,
            self.tokenizer,
            known=Targets(self.label_names, self.multi_label, self.answer_names),
            training=training,
            seed=seed,
            augment=augment if training else None,
            text_tokenizer=self.text_tokenizer,
            limits=DecodeLimits.of(self.settings),
            dropout=dict.fromkeys(modalities, self.settings.modality_dropout)
            | self.settings.modality_dropout_by,
            mixing=self.mixing,
            cached=self.cached_entries(rows, encoders),
            taught=self.cached_entries(rows, teachers),
            captions_per_sample=self.settings.captions_per_sample,
        )

    def texts(self, rows: Sequence[Sample]) -> list[tuple[str, ...]]:
        """Return the text encoder's input texts of each sample; empty if it reads features."""
        if not self.preparation.text or "text" in self.preparation.features:
            return []
        columns = self.mixing.texts if self.mixing else None
        return column_texts(rows, self.preparation.text, columns)

    def cached_entries(self, rows: Sequence[Sample], parts: Sequence[str]) -> dict[str, CacheIndex]:
        """Return the rows' entries in cached ``parts``; raise DataError if any are missing."""
        if self.cache is None:
            return {}
        reader = Reader(self.preparation, self.mixing.texts if self.mixing else {})
        return self.cache.entries(rows, parts, reader, self.manifest.where)


def answers_of(rows: Sequence[Sample]) -> Iterator[Mapping[str, float]]:
    """Yield the answers of the samples that have any."""
    answered = taken(rows, present(rows, "answers"))
    return values(answered, ("answers", "answer_weights"), lambda row: row.answers)


def number_facts(rows: Sequence[Sample]) -> dict[str, float]:
    """Return mean (default 0) and standard deviation (1 instead of 0) of numeric labels."""
    labeled = taken(rows, present(rows, "number"))
    numbers = [*values(labeled, LABEL, lambda row: row.label)]
    deviation = pstdev(numbers) if numbers else 0.0
    return {"label_mean": fmean(numbers) if numbers else 0.0, "label_std": deviation or 1.0}


def build_data(
    settings: DataSettings,
    preparation: Preprocessing,
    seed: int = 0,
    stored: Mapping[str, Any] | None = None,
    text_encoder: Mapping[str, Any] | None = None,
    heads: Mapping[str, Any] | None = None,
    manifest: Manifest | None = None,
    decoder: Mapping[str, Any] | None = None,
) -> Corpus:
    """Read and validate the data of a run.

    Args:
        settings: Settings of the section ``data``.
        preparation: Preprocessing settings.
        seed: Seed of split assignment.
        stored: Configuration of a trained model, whose tokenizer, labels and answers are reused.
        text_encoder: Configuration of the text encoder. If it, or a text teacher, has its own
            tokenizer, that one is used for input texts.
        heads: Configurations of the heads.
        manifest: The data set, if it has been read already.
        decoder: Configuration of the decoder; a pretrained one has its own tokenizer.
    """
    manifest = manifest or read_corpora(settings, seed)
    stored = stored or {}
    trained = has_label_head(stored)
    tokenizer = run_tokenizer(manifest, settings, stored.get("tokenizer"), heads or {}, decoder)
    input_tokenizer = stored_input_tokenizer(stored, tokenizer)
    multi_label = has_label_lists(manifest.samples)
    return Corpus(
        manifest,
        settings,
        replace(
            preparation,
            prompt=preparation.prompt or decoder_prompt(decoder or {}),
            features=feature_sizes(manifest, preparation.features, DecodeLimits.of(settings)),
        ),
        tokenizer,
        list(stored["label_names"] if trained else manifest.label_names),
        bool(stored.get("multi_label") if trained else multi_label),
        stored.get("answer_names")
        or answer_names(answers_of(manifest.split("train")), settings.num_answers),
        pretrained_tokenizer(text_encoder or {}, input_tokenizer, heads),
        trained,
        mixing_of(settings, heads or {}),
    )


def has_label_head(stored: Mapping[str, Any]) -> bool:
    """Return True if a trained model has a head with labels, or one that cannot be inspected."""
    if not stored.get("label_names"):
        return False
    for node in stored["model"]["head"].values():
        try:
            targets: Any = class_constant(node["_target_"], "targets") or ()
        except TargetError:  # a custom head, whose class may not be trusted enough to import
            return True
        if "label" in targets:
            return True
    return False


def check_labels_known(corpus: Corpus, rows: Sequence[Sample]) -> None:
    """Check that the model has a class for every label.

    Raises:
        DataError: with file:line of each row with an unknown label, and what to do.
    """
    known = dict.fromkeys(corpus.label_names)  # fast lookup that keeps the order
    is_number = present(rows, "number")
    if label_texts(rows) <= known.keys() and (corpus.multi_label or not has_label_lists(rows)):
        rows = taken(rows, is_number)  # only these may be unknown
    faults = [
        f"{corpus.manifest.where(row)}: {fault}"
        for row in rows
        if (fault := label_fault(row.label, known, corpus.multi_label, corpus.trained_labels))
    ]
    if faults:
        raise DataError(*truncate(faults))


def rows_with_targets(rows: Sequence[Sample], needs: Sequence[str]) -> Bool[np.ndarray, " n"]:
    """Return which of the samples have all needed targets."""
    has = np.ones(len(rows), dtype=bool)
    for need in needs:
        has &= present(rows, NEEDS[need][1])
    return has


def usable(rows: Sequence[Sample], needs: Sequence[str], manifest: Manifest) -> Sequence[Sample]:
    """Return the samples with all needed targets; raise DataError if none of them has."""
    kept = taken(rows, rows_with_targets(rows, needs))
    if len(rows) and not len(kept):
        required = " and ".join(NEEDS[need][0] for need in needs)
        raise DataError(f"{manifest.path}: none of the {len(rows)} rows has {required}")
    return kept
