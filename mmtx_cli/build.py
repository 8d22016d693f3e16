"""From plain configuration to data and model: the only place that instantiates components.

A run's *config* is a plain dict, kept in every checkpoint: ``model`` (dim, encoder, fusion, head),
``preparation`` (how samples become tensors), ``label_names``, ``multi_label``, ``tokenizer``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate

from mmtx_cli.check import component_faults
from mmtx_cli.data.answer import answer_names
from mmtx_cli.data.cache.entries import Cache, Entries
from mmtx_cli.data.dataset import Samples
from mmtx_cli.data.feature_fact import feature_sizes
from mmtx_cli.data.label import label_fault
from mmtx_cli.data.manifest import Manifest, read_manifest
from mmtx_cli.data.preparation import MODALITIES, Preparation
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.target import Targets
from mmtx_cli.data.text import column_texts
from mmtx_cli.data.tokenizer import Tokenizer
from mmtx_cli.data.transform import augmentation
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most
from mmtx_cli.model import MultimodalModel
from mmtx_cli.settings import DataSettings
from mmtx_cli.signature import TargetError, class_constant, signature_of

NEEDS: Mapping[str, tuple[str, Callable[[Sample], bool]]] = {
    "captions": ("captions", lambda row: bool(row.captions)),
    "label": ("a label", lambda row: row.label is not None),
    "number": ("a label that is a number", lambda row: isinstance(row.label, (int, float))),
    "answers": ("answers", lambda row: bool(row.answers)),
    "answer_text": ("answers", lambda row: bool(row.answers)),
}
"""What of a row heads may need: in words, and whether a row has it."""


def build_model(config: Mapping[str, Any], trusted: Sequence[str] = ()) -> MultimodalModel:
    """Build the model that ``config["model"]`` describes, with weights as they begin."""
    model = config["model"]
    faults = list(component_faults({**model, "trusted_packages": list(trusted)}))
    if faults:
        raise ConfigError(*faults)
    encoders = build_encoders(model["encoder"])
    fusion = component("fusion", model["fusion"], modalities=list(encoders))
    patching = {name: own for name, encoder in encoders.items() if (own := encoder.patching())}
    given = {"streams": list(fusion.streams), "vote": fusion.vote, "patching": patching}
    heads = {}
    for name, node in model["head"].items():
        takes = signature_of(node["_target_"], tuple(trusted)).parameters
        own = {key: value for key, value in given.items() if key == "streams" or key in takes}
        if isinstance(node.get("teacher"), Mapping):
            own["teacher"] = build_teacher(f"head.{name}.teacher", node["teacher"])
        heads[name] = component(f"head.{name}", node, **own)
    return MultimodalModel(model["dim"], encoders, fusion, heads)


def build_encoders(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The encoders by modality: a model makes them first, so a seed gives the same anywhere."""
    return {name: component(f"encoder.{name}", node) for name, node in nodes.items() if node}


def build_teacher(path: str, node: Mapping[str, Any]) -> Any:
    """An encoder that a head learns from: the same whatever the seed, as its weights are given.

    What of it has no pretrained weights says nothing, and would tell one teacher from another.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return component(path, node)


def component(path: str, node: Mapping[str, Any], **provided: object) -> Any:
    """Instantiate one component; what it finds wrong with its arguments is the user's to mend."""
    try:
        return instantiate(dict(node), _convert_="all", **provided)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):
            raise ConfigError(f"{path}: {cause}") from error
        if isinstance(cause, (TypeError, ArithmeticError, RuntimeError)):
            name = type(cause).__name__
            raise ConfigError(
                f"{path}: cannot be made of its arguments: {name}: {cause}"
            ) from error
        raise cause or error from error


@dataclass
class Corpus:
    """A data set read and checked, with what the model must know of it."""

    manifest: Manifest
    settings: DataSettings
    preparation: Preparation
    tokenizer: Tokenizer | None
    label_names: list[str]
    multi_label: bool
    answer_names: list[str]
    text_tokenizer: Tokenizer | None = None
    """The text encoder's own, where it brings one."""
    trained_labels: bool = False
    """A trained model answers with these labels; it cannot be asked about others."""
    cache: Cache | None = None
    """Outputs of frozen encoders, which samples bring in place of raw input."""

    def facts(self) -> dict[str, Any]:
        """Root keys of the configuration that only the data can fill in."""
        t, read = self.tokenizer, self.text_tokenizer or self.tokenizer
        return {
            "vocab_size": len(t) if t else None,
            "bos_id": t.bos_id if t else None,
            "eos_id": t.eos_id if t else None,
            "text_vocab_size": len(read) if read else None,
            "mask_id": read.mask_id if read else None,
            "special_ids": read.special_ids if read else None,
            "label_names": self.label_names,
            "multi_label": self.multi_label,
            "answer_names": self.answer_names,
            "feature_sizes": {name: self.preparation.features.get(name) for name in MODALITIES},
            **number_facts(self.manifest.split("train")),
        }

    def rows(self, split: str) -> list[Sample]:
        """Samples of a split, as many as ``data.limit`` allows.

        Raises DataError if a trained model is to be asked about labels that it does not know.
        """
        rows = self.manifest.split(split)[: self.settings.limit]
        if self.trained_labels:
            refuse_unknown_labels(self, rows)
        return rows

    def samples(
        self,
        rows: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        training: bool = False,
        seed: int = 0,
        teachers: Sequence[str] = (),
    ) -> Samples:
        """Random access to prepared samples; of ``teachers`` they bring what the cache holds.

        Raises DataError if a head needs labels and some are none that it can learn.
        """
        if "label" in needs:
            refuse_unknown_labels(self, rows)
        augment = augmentation(self.preparation.image_size, **asdict(self.settings.augment))
        return Samples(
            rows,
            modalities,
            needs,
            self.preparation,
            self.tokenizer,
            Targets(self.label_names, self.multi_label, self.answer_names),
            training,
            seed,
            augment if training else None,
            self.text_tokenizer,
            self.settings.decode_timeout,
            self.settings.modality_dropout,
            self.kept(rows, [f"encoder.{name}" for name in modalities]),
            self.kept(rows, teachers),
        )

    def kept(self, rows: Sequence[Sample], parts: Sequence[str]) -> dict[str, Entries]:
        """What the cache holds of the rows; DataError if it lacks some of a part that it holds."""
        if self.cache is None:
            return {}
        return self.cache.entries(rows, parts, self.preparation, self.manifest.where)


def number_facts(rows: Sequence[Sample]) -> dict[str, float]:
    """Mean and deviation of the labels that are numbers; 0 and 1 without any."""
    numbers = [row.label for row in rows if isinstance(row.label, (int, float))]
    spread = pstdev(numbers) if numbers else 0.0
    return {"label_mean": fmean(numbers) if numbers else 0.0, "label_std": spread or 1.0}


def build_data(
    settings: DataSettings,
    preparation: Preparation,
    seed: int = 0,
    stored: Mapping[str, Any] | None = None,
    text_encoder: Mapping[str, Any] | None = None,
) -> Corpus:
    """Read and check the manifest; tokenizer and label names are ``stored`` ones or its own.

    A ``text_encoder`` (its configuration) that brings a tokenizer reads its texts by that one.
    """
    if settings.path is None:
        raise ConfigError("data.path: no data; write data.path=MANIFEST.jsonl or data=scenes")
    manifest = read_manifest(
        settings.path,
        root=settings.root,
        split=settings.split,
        seed=seed,
        allow_outside_root=settings.allow_outside_root,
    )
    stored = stored or {}
    labels = [sample.label for sample in manifest.samples if sample.label is not None]
    trained = answers_labels(stored)
    multi_label = any(isinstance(label, tuple) for label in labels)
    return Corpus(
        manifest,
        settings,
        replace(preparation, features=feature_sizes(manifest, preparation.features)),
        tokenizer_for(manifest, settings, stored.get("tokenizer")),
        list(stored["label_names"] if trained else manifest.label_names),
        bool(stored.get("multi_label") if trained else multi_label),
        stored.get("answer_names")
        or answer_names((row.answers for row in manifest.split("train")), settings.num_answers),
        own_tokenizer(text_encoder or {}, stored.get("text_tokenizer")),
        trained,
    )


def own_tokenizer(node: Mapping[str, Any], stored: str | None) -> Tokenizer | None:
    """The tokenizer that a pretrained text encoder brings; the stored one once it is trained."""
    if not brings_tokenizer(node):
        return None
    if not node.get("weights"):
        return Tokenizer.from_json(stored, template=True) if stored else None
    encoder: Any = get_class(node["_target_"])
    try:
        text = encoder.tokenizer_json(node["weights"])
    except ValueError as error:
        raise ConfigError(f"encoder.text: {error}") from error
    return Tokenizer.from_json(text, template=True)


def brings_tokenizer(node: Mapping[str, Any]) -> bool:
    """Does the class of a text encoder say so? Only one with weights of its own is imported."""
    target = str(node.get("_target_", ""))
    try:
        return bool(class_constant(target, "brings_tokenizer"))
    except TargetError:
        return bool(node.get("weights")) and hasattr(get_class(target), "brings_tokenizer")


def answers_labels(stored: Mapping[str, Any]) -> bool:
    """Has a trained model a head that answers with labels? Of a foreign head, it may be."""
    if not stored.get("label_names"):
        return False
    for node in stored["model"]["head"].values():
        try:
            needs: Any = class_constant(node["_target_"], "needs") or ()
        except TargetError:  # not of mmtx: whether it is trusted is not known here
            return True
        if "label" in needs:
            return True
    return False


def refuse_unknown_labels(corpus: Corpus, rows: Sequence[Sample]) -> None:
    """A head has a class for the labels that it is or was trained on, and for no other.

    Raises:
        DataError: with file:line of each row that has another, and what to do about it.
    """
    known = dict.fromkeys(corpus.label_names)  # quick to ask, and in their order
    faults = [
        f"{corpus.manifest.where(row)}: {fault}"
        for row in rows
        if (fault := label_fault(row.label, known, corpus.multi_label, corpus.trained_labels))
    ]
    if faults:
        raise DataError(*at_most(faults))


def tokenizer_for(
    manifest: Manifest, settings: DataSettings, stored: str | None
) -> Tokenizer | None:
    """The given tokenizer, the stored one, or one trained on the training texts."""
    if settings.tokenizer:
        return Tokenizer.load(settings.tokenizer)
    if stored:
        return Tokenizer.from_json(stored)
    rows = manifest.split("train") or manifest.samples
    columns = [column_texts(rows, name) for name in ("captions", "text", "answer_text")]
    texts = [text for row in zip(*columns, strict=True) for several in row for text in several]
    if not texts:
        return None
    return Tokenizer.train(texts, settings.tokenizer_size, settings.lowercase)


def usable(rows: Sequence[Sample], needs: Sequence[str], manifest: Manifest) -> list[Sample]:
    """The samples that have all the targets that the heads need; none at all is an error."""
    kept = [row for row in rows if all(NEEDS[need][1](row) for need in needs)]
    if rows and not kept:
        wanted = " and ".join(NEEDS[need][0] for need in needs)
        raise DataError(f"{manifest.path}: no row of these {len(rows)} has {wanted}")
    return kept
