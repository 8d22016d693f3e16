"""From plain configuration to data and model: the only place that instantiates components.

A run's *config* is a plain dict, kept in every checkpoint: ``model`` (dim, encoder, fusion, head),
``preparation`` (how samples become tensors), ``label_names``, ``multi_label``, ``tokenizer``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate

from mmtx_cli.check import component_faults
from mmtx_cli.data.answer import answer_names
from mmtx_cli.data.cache.entries import Cache, Entries, Reader
from mmtx_cli.data.corpora import joined
from mmtx_cli.data.dataset import Samples
from mmtx_cli.data.feature_fact import feature_sizes
from mmtx_cli.data.label import label_fault
from mmtx_cli.data.manifest import Manifest, read_manifest
from mmtx_cli.data.mixing import Mixing
from mmtx_cli.data.preparation import MODALITIES, Preparation
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.target import Targets
from mmtx_cli.data.text import column_texts
from mmtx_cli.data.tokenizer import Tokenizer
from mmtx_cli.data.transform import augmentation
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most
from mmtx_cli.layer.frozen import Frozen
from mmtx_cli.model import MultimodalModel
from mmtx_cli.settings import CorpusSettings, DataSettings
from mmtx_cli.signature import TargetError, class_constant, signature_of
from mmtx_cli.teacher import teacher_model, text_teachers
from mmtx_cli.weights import read_config

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
    given = {"streams": list(fusion.streams), "vote": fusion.vote}
    given |= {"patching": patching, "encoders": encoders}
    heads = {}
    for name, node in model["head"].items():
        takes = signature_of(node["_target_"], tuple(trusted)).parameters
        own = {key: value for key, value in given.items() if key == "streams" or key in takes}
        if node.get("teacher"):
            own["teacher"] = build_teacher(f"head.{name}", node, config, trusted)
        heads[name] = component(f"head.{name}", node, **own)
    return MultimodalModel(model["dim"], encoders, fusion, heads)


def build_encoders(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The encoders by modality: a model makes them first, so a seed gives the same anywhere."""
    return {name: component(f"encoder.{name}", node) for name, node in nodes.items() if node}


def build_teacher(
    path: str, node: Mapping[str, Any], config: Mapping[str, Any], trusted: Sequence[str]
) -> Frozen:
    """What a head's ``teacher`` is: a trained model, or an encoder, the same whatever the seed.

    What of an encoder has no pretrained weights says nothing of the modality, and would be all
    that tells the teachers of two seeds from each other.
    """
    if isinstance(node["teacher"], str):
        return taught_by(path, node, config, trusted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Frozen(component(f"{path}.teacher", node["teacher"]))


def taught_by(
    path: str, node: Mapping[str, Any], config: Mapping[str, Any], trusted: Sequence[str]
) -> Frozen:
    """The trained model that a head's ``teacher`` names, or its encoder of the head's modality."""
    model, stored = teacher_model(path, node["teacher"], config, lambda c: build_model(c, trusted))
    modality = node.get("modality")
    if modality is None:
        return Frozen(model, stored["label_names"])
    if modality not in model.encoder:
        raise ConfigError(f"{path}.teacher: {node['teacher']} has no encoder of {modality!r}")
    return Frozen(model.encoder[modality])


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
    mixing: Mixing | None = None
    """What is particular to each data set, where there are several."""
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
        rows = self.manifest.split(split)
        if self.settings.limit is not None:  # of each corpus, where there are several
            counted: Counter[str] = Counter()
            rows = [row for row in rows if within(counted, row.corpus, self.settings.limit)]
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
            self.mixing,
            self.kept(rows, [f"encoder.{name}" for name in modalities]),
            self.kept(rows, teachers),
        )

    def kept(self, rows: Sequence[Sample], parts: Sequence[str]) -> dict[str, Entries]:
        """What the cache holds of the rows; DataError if it lacks some of a part that it holds."""
        if self.cache is None:
            return {}
        reader = Reader(self.preparation, self.mixing.texts if self.mixing else {})
        return self.cache.entries(rows, parts, reader, self.manifest.where)


def within(counted: Counter[str], name: str, most: int) -> bool:
    """Count one more of a name; are these as many as are wanted?"""
    counted[name] += 1
    return counted[name] <= most


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
    heads: Mapping[str, Any] | None = None,
) -> Corpus:
    """Read and check the manifest; tokenizer and label names are ``stored`` ones or its own.

    A ``text_encoder`` (its configuration) that brings a tokenizer reads its texts by that one, and
    so does one that a teacher among the ``heads`` teaches.
    """
    manifest = read_corpora(settings, seed)
    stored = stored or {}
    labels = [sample.label for sample in manifest.samples if sample.label is not None]
    trained = answers_labels(stored)
    taught = taught_tokenizers(heads or {})
    tokenizer = tokenizer_for(
        manifest, settings, stored.get("tokenizer") or next(iter(taught.values()), None)
    )
    refuse_other_words(taught, tokenizer)
    multi_label = any(isinstance(label, tuple) for label in labels)
    return Corpus(
        manifest,
        settings,
        replace(preparation, features=feature_sizes(manifest, preparation.features)),
        tokenizer,
        list(stored["label_names"] if trained else manifest.label_names),
        bool(stored.get("multi_label") if trained else multi_label),
        stored.get("answer_names")
        or answer_names((row.answers for row in manifest.split("train")), settings.num_answers),
        own_tokenizer(text_encoder or {}, stored.get("text_tokenizer"), heads),
        trained,
        mixing_of(settings, heads or {}),
    )


def read_corpora(settings: DataSettings, seed: int) -> Manifest:
    """The manifest, or those of a mixture as one. Raises DataError with the faults of all."""
    if settings.mixture:
        parts: dict[str, Manifest] = {}
        faults: list[str] = []
        for own in settings.mixture:
            try:
                parts[str(own.name)] = read_one(own, seed)
            except DataError as error:
                faults += error.faults
        if faults:
            raise DataError(*faults)
        return joined(parts)
    if settings.path is None:
        raise ConfigError("data.path: no data; write data.path=MANIFEST.jsonl or data=scenes")
    return read_one(settings, seed)


def read_one(settings: DataSettings | CorpusSettings, seed: int) -> Manifest:
    """The manifest of one corpus."""
    return read_manifest(
        str(settings.path),
        root=settings.root,
        split=settings.split,
        seed=seed,
        allow_outside_root=settings.allow_outside_root,
    )


def mixing_of(settings: DataSettings, heads: Iterable[str]) -> Mixing | None:
    """What is particular to each corpus of a mixture; None without one."""
    if not settings.mixture:
        return None
    corpora = {str(own.name): own for own in settings.mixture}
    learners = {
        head: frozenset(n for n, own in corpora.items() if own.heads is None or head in own.heads)
        for head in heads
    }
    weights = [own.weight for own in corpora.values() if own.weight is not None]
    return Mixing(
        [*corpora],
        {name: own.text for name, own in corpora.items() if own.text is not None},
        weights or None,
        {head: learns for head, learns in learners.items() if len(learns) < len(corpora)},
    )


def own_tokenizer(
    text_encoder: Mapping[str, Any], stored: str | None, heads: Mapping[str, Any] | None = None
) -> Tokenizer | None:
    """The tokenizer that a pretrained text encoder or a teacher of texts brings; else that which a
    trained text encoder has.
    """
    readers = {"encoder.text": text_encoder, **dict(text_teachers(heads or {}))}
    found = {path: own for path, node in readers.items() if (own := brought(path, node))}
    if len({own.to_json() for own in found.values()}) > 1:
        raise ConfigError(
            f"{' and '.join(found)} read texts by different tokenizers; choose such as share one"
        )
    if found:
        return next(iter(found.values()))
    return Tokenizer.from_json(stored, template=True) if stored and text_encoder else None


def taught_tokenizers(heads: Mapping[str, Any]) -> dict[str, str]:
    """By config path, the tokenizers of teachers of texts that learned theirs from their data."""
    trained = {p: read_config(t) for p, t in text_teachers(heads) if isinstance(t, str)}
    return {p: own["tokenizer"] for p, own in trained.items() if not own.get("text_tokenizer")}


def refuse_other_words(taught: Mapping[str, str], tokenizer: Tokenizer | None) -> None:
    """A teacher reads the very tokens that the model reads. Raises ConfigError."""
    own = tokenizer.to_json() if tokenizer else None
    faults = [
        f"{path}: reads texts by another tokenizer than this model; leave out data.tokenizer and "
        "ckpt, or teach by another"
        for path, text in taught.items()
        if Tokenizer.from_json(text).to_json() != own
    ]
    if faults:
        raise ConfigError(*faults)


def brought(path: str, reader: Mapping[str, Any] | str) -> Tokenizer | None:
    """The tokenizer of a reader of texts: of a trained model, or of pretrained weights."""
    if isinstance(reader, str):
        own = read_config(reader).get("text_tokenizer")
        return Tokenizer.from_json(own, template=True) if own else None
    if not brings_tokenizer(reader) or not reader.get("weights"):
        return None
    encoder: Any = get_class(reader["_target_"])
    try:
        text = encoder.tokenizer_json(reader["weights"])
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
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
