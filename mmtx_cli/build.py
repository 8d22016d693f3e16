"""From plain configuration to data and model: the only place that instantiates components.

A run's *config* is a plain dict, kept in every checkpoint: ``model`` (dim, encoder, fusion, head),
``preparation`` (how samples become tensors), ``label_names``, ``multi_label``, ``tokenizer``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mmtx_cli.check import component_faults
from mmtx_cli.data.dataset import Preparation, Samples
from mmtx_cli.data.manifest import Manifest, read_manifest
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.tokenizer import Tokenizer
from mmtx_cli.data.transform import augmentation
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.model import MultimodalModel
from mmtx_cli.settings import DataSettings

NEEDS = {"captions": "captions", "label": "a label"}
"""The manifest's columns that heads may need, in words."""


def build_model(config: Mapping[str, Any], trusted: Sequence[str] = ()) -> MultimodalModel:
    """Build the model that ``config["model"]`` describes, with weights as they begin."""
    model = config["model"]
    faults = list(component_faults({**model, "trusted_packages": list(trusted)}))
    if faults:
        raise ConfigError(*faults)
    encoders = {
        name: component(f"encoder.{name}", node) for name, node in model["encoder"].items() if node
    }
    fusion = component("fusion", model["fusion"], modalities=list(encoders))
    streams = list(fusion.streams)
    heads = {
        name: component(f"head.{name}", node, streams=streams)
        for name, node in model["head"].items()
    }
    return MultimodalModel(model["dim"], encoders, fusion, heads)


def component(path: str, node: Mapping[str, Any], **provided: object) -> Any:
    """Instantiate one component; what it finds wrong with its arguments is the user's to mend."""
    try:
        return instantiate(dict(node), _convert_="all", **provided)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):
            raise ConfigError(f"{path}: {cause}") from error
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

    def facts(self) -> dict[str, Any]:
        """Root keys of the configuration that only the data can fill in."""
        t = self.tokenizer
        return {
            "vocab_size": len(t) if t else None,
            "bos_id": t.bos_id if t else None,
            "eos_id": t.eos_id if t else None,
            "label_names": self.label_names,
            "multi_label": self.multi_label,
        }

    def rows(self, split: str) -> list[Sample]:
        """Samples of a split, as many as ``data.limit`` allows."""
        return self.manifest.split(split)[: self.settings.limit]

    def samples(
        self,
        rows: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        training: bool = False,
        seed: int = 0,
    ) -> Samples:
        """Random access to prepared samples."""
        augment = augmentation(self.preparation.image_size, **asdict(self.settings.augment))
        return Samples(
            rows,
            modalities,
            needs,
            self.preparation,
            self.tokenizer,
            self.label_names,
            self.multi_label,
            training,
            seed,
            augment if training else None,
        )


def build_data(
    settings: DataSettings,
    preparation: Preparation,
    seed: int = 0,
    stored: Mapping[str, Any] | None = None,
) -> Corpus:
    """Read and check the manifest; tokenizer and label names are ``stored`` ones or its own."""
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
    refuse_unknown_labels(manifest, stored.get("label_names"))
    multi_label = stored.get("multi_label", any(isinstance(label, tuple) for label in labels))
    return Corpus(
        manifest,
        settings,
        preparation,
        tokenizer_for(manifest, settings, stored.get("tokenizer")),
        list(stored.get("label_names") or manifest.label_names or ()),
        bool(multi_label),
    )


def refuse_unknown_labels(manifest: Manifest, known: Sequence[str] | None) -> None:
    """A trained head can only be asked about the labels that it was trained on."""
    if not known:
        return
    faults = []
    for sample in manifest.samples:
        labels = sample.label if isinstance(sample.label, tuple) else (sample.label,)
        odd = [str(x) for x in labels if x is not None and str(x) not in known]
        if odd:
            faults.append(f"{manifest.where(sample)}: the model knows no label {', '.join(odd)}")
    if faults:
        more = [f"… and {len(faults) - 20} more"] if len(faults) > 20 else []
        names = ", ".join(known[:20])
        raise DataError(*faults[:20], *more, f"it was trained on: {names}; mend the labels")


def tokenizer_for(
    manifest: Manifest, settings: DataSettings, stored: str | None
) -> Tokenizer | None:
    """The given tokenizer, the stored one, or one trained on the training texts."""
    if settings.tokenizer:
        return Tokenizer.load(settings.tokenizer)
    if stored:
        return Tokenizer.from_json(stored)
    rows = manifest.split("train") or manifest.samples
    texts = [text for s in rows for text in (*s.captions, *([s.text] if s.text else []))]
    if not texts:
        return None
    return Tokenizer.train(texts, settings.tokenizer_size, settings.lowercase)


def usable(rows: Sequence[Sample], needs: Sequence[str], manifest: Manifest) -> list[Sample]:
    """The samples that have all the targets that the heads need; none at all is an error."""
    has = {
        "captions": lambda s: bool(s.captions),
        "label": lambda s: s.label is not None,
    }
    kept = [row for row in rows if all(has[need](row) for need in needs)]
    if rows and not kept:
        wanted = " and ".join(NEEDS[need] for need in needs)
        raise DataError(f"{manifest.path}: no row of these {len(rows)} has {wanted}")
    return kept
