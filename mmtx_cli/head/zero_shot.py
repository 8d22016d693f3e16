"""Zero-shot classification with the embeddings of a contrastive head."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.errors import DataError
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.head.classification import class_evaluation
from mmtx_cli.head.eval_only import EvaluationHead, contrastive_head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.types import Batch, Streams

TEXT = "text"
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "image": ("a photo of a {}.", "a picture of a {}.", "an image of the {}.", "a {}."),
    "video": ("a video of a {}.", "a video of {}.", "a clip of the {}.", "{}."),
    "audio": ("the sound of a {}.", "a recording of {}.", "{} can be heard.", "{}."),
}
PLAIN = ("{}", "a {}.", "the {}.")


class ZeroShotHead(EvaluationHead):
    """Classifies a stream by its similarity to the class names, each inserted into several
    templates.

    A class embedding is the mean of the unit embeddings of its texts, normalized again (CLIP,
    Radford et al. 2021, section 3.1.4); probabilities are the softmax of the cosines times the
    contrastive head's learned scale. They are uniform for samples that lack the stream.
    """

    targets: tuple[str, ...] = ("label",)
    traits: ClassVar[HeadTraits] = HeadTraits(
        trained=False, needs_contrastive=True, encodes_text=True
    )

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        trained_heads: nn.ModuleDict,
        label_names: Sequence[str],
        head: str | None = None,
        stream: str | None = None,
        templates: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """``head`` is the contrastive head to use (default: the only one), ``stream`` the stream to
        classify (default: the only one aligned with text).

        ``templates`` are texts with {} in place of the class name (default: a few for the stream's
        modality); ``names`` maps classes to the names to insert, such as {"0": zero} (default: the
        classes themselves).
        """
        contrastive = contrastive_head(trained_heads, head)
        super().__init__(dim, available, contrastive.streams)
        self.contrastive: Head = contrastive
        self.stream = text_aligned_stream(contrastive, stream)
        self.templates = list(TEMPLATES.get(self.stream, PLAIN) if templates is None else templates)
        if not self.templates:
            raise ValueError("templates is empty: list at least one, such as ['a photo of a {}.']")
        if invalid := [text for text in self.templates if "{}" not in text]:
            raise ValueError(f"templates: {invalid[0]!r} has no {{}} for the class name")
        self.label_names = list(label_names)
        self.names = {str(label): str(name) for label, name in (names or {}).items()}
        if invalid := [label for label in self.names if label not in self.label_names]:
            raise ValueError(f"names: unknown class {invalid[0]!r}")
        self.classes: Float[Tensor, "c e"] | None = None

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the embeddings of the stream and the text, and which samples have the stream."""
        outputs = self.contrastive.predict(streams, batch)
        return {key: outputs[key] for key in (self.stream, TEXT, f"{self.stream}_present")}

    def examples(self, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
        """Return the texts of all classes: each class in every template.

        Raises DataError if a sample in ``test`` does not have exactly one class label.
        """
        for sample in test:
            if not isinstance(sample.label, str):
                raise DataError(
                    f"sample {sample.id} (line {sample.line}): zero-shot classification expects "
                    f"one name, but the label is {sample.label!r}"
                )
        texts = [
            template.replace("{}", self.names.get(name, name))
            for name in self.label_names
            for template in self.templates
        ]
        return [
            Sample(f"prompt {i}", "test", text=text, captions=(text,))
            for i, text in enumerate(texts)
        ]

    def fit(self, outputs: Sequence[Mapping[str, Tensor]], examples: Sequence[Sample]) -> None:
        """Compute the class embeddings from the embeddings of their texts."""
        texts = torch.stack([output[TEXT] for output in outputs]).float()
        by_class = texts.view(len(self.label_names), len(self.templates), -1)
        self.classes = F.normalize(F.normalize(by_class, dim=2).mean(dim=1), dim=1)

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return accuracy, F1 and calibration, as for any classifier."""
        assert self.classes is not None, "fit() computes the classes first"
        embeddings = torch.stack([output[self.stream] for (output,) in outputs]).float()
        present = torch.stack([output[f"{self.stream}_present"] for (output,) in outputs])
        scale = float(self.contrastive.scale().detach())  # type: ignore[operator]
        logits = scale * present[:, None] * (embeddings @ self.classes.T)
        return class_evaluation(logits.softmax(dim=1).numpy(), samples, self.label_names)


def text_aligned_stream(head: Head, stream: str | None) -> str:
    """Return the given stream, or the only one that a contrastive head aligns with text.

    Raises ValueError if the head aligns nothing with text, or not this stream, or several streams
    and none is given.
    """
    available = head.text_partners()
    if not available:
        raise ValueError(f"the contrastive head aligns {head.pairs}, none with text")
    options = ", ".join(available)
    if stream is None and len(available) > 1:
        raise ValueError(f"stream: several are aligned with text; choose one of {options}")
    if stream is not None and stream not in available:
        raise ValueError(f"stream={stream}: not aligned with text; choose from {options}")
    return stream or available[0]
