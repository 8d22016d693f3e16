"""Which places of its inputs a model based each word of a generated text on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from mmtx_cli.explanation.heatmap import audio_map, picture_map
from mmtx_cli.explanation.leaves import of_all_rows
from mmtx_cli.explanation.relevance import copied, word_relevance
from mmtx_cli.explanation.support import check_explainable
from mmtx_cli.generation.words import Detokenizer, word_places
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.layer.sequence_mask import sequence_lengths
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch

SAMPLES = 8
"""Number of samples whose derivatives are computed together."""


@dataclass(frozen=True)
class Explanation:
    """The words of a text, and by modality a map of each word, on the CPU.

    The values of a word are not negative and sum to 1 over all its maps, so that the sum of a map
    is the share of its modality; they are all zero where no input has any influence.

    Args:
        words: The words, separated by spaces.
        maps: ``image`` [words, h, w], or [words, l, h, w] if the sample has l > 1 pictures;
            ``video`` [words, t, h, w]: the frames that the model read; ``audio`` [words, time,
            freq], or [words, time] if the encoder reads the waveform. They cover what the model
            read: the square that a picture was cropped or padded to, from its top left corner, and
            the recording up to ``audio_seconds``, from low to high frequency. A modality that the
            sample lacks, and text, have no map.
    """

    words: list[str]
    maps: dict[str, Tensor] = field(default_factory=dict)


def explain(
    model: MultimodalModel,
    batch: Batch,
    tokens: Int[Tensor, "b t"] | Sequence[Sequence[int]],
    tokenizer: Detokenizer,
    method: str = "gradient",
    head: str | None = None,
) -> list[Explanation]:
    """Return the heat maps of the words of one text of each sample.

    The texts are computed once more, all tokens at a time. No other thread may use the model
    meanwhile: hooks are added to it, and its weights are frozen.

    Args:
        model: A model with a captioning head.
        batch: The inputs, on the device of the model.
        tokens: A text of each sample, as the head generated it: without BOS; what follows EOS is
            ignored.
        tokenizer: The tokenizer of the model.
        method: ``gradient`` or ``rollout``.
        head: Name of the head; None for the only one that generates texts.

    Raises:
        ConfigError: If the model or the method cannot explain its texts.
    """
    found = check_explainable(model, method, head, batch)
    with torch.inference_mode(False):
        padded = padded_texts(tokens, found.eos_id, batch.keys.device)
    explanations: list[Explanation] = []
    for first in range(0, len(batch), SAMPLES):
        part = copied(batch, first, first + SAMPLES)
        texts = padded[first : first + SAMPLES]
        explanations += explained(model, found, part, texts, tokenizer, method)
    return explanations


def padded_texts(
    tokens: Tensor | Sequence[Sequence[int]], eos: int, device: torch.device
) -> Int[Tensor, "b t"]:
    """Return texts as a matrix that ends with the longest one."""
    lists = tokens.tolist() if isinstance(tokens, Tensor) else [list(text) for text in tokens]
    lists = [text[: text.index(eos)] if eos in text else text for text in lists]
    longest = max(1, *map(len, lists))
    return torch.tensor([text + [eos] * (longest - len(text)) for text in lists], device=device)


def explained(
    model: MultimodalModel,
    head: CaptioningHead,
    batch: Batch,
    tokens: Int[Tensor, "b t"],
    tokenizer: Detokenizer,
    method: str,
) -> list[Explanation]:
    """Return the explanations of a few samples.

    Args:
        model: The model.
        head: The head.
        batch: The inputs.
        tokens: The texts.
        tokenizer: The tokenizer of the model.
        method: ``gradient`` or ``rollout``.
    """
    words = [word_places(text, head.eos_id, tokenizer) for text in tokens.tolist()]
    places = [[own for _, own in text] for text in words]
    maps: list[dict[str, list[Tensor]]] = [{} for _ in words]
    for number, relevance in enumerate(word_relevance(model, head, batch, tokens, places, method)):
        for name, values in relevance.items():
            for row, own in enumerate(sample_maps(name, values, batch)):
                if own is not None and number < len(words[row]):
                    maps[row].setdefault(name, []).append(own)
    return [
        Explanation([word for word, _ in text], normalized(own))
        for text, own in zip(words, maps, strict=True)
    ]


def sample_maps(name: str, values: Tensor, batch: Batch) -> list[Tensor | None]:
    """Return the map of each sample for a word; None if it lacks the modality."""
    mask = batch.inputs[name].mask
    present = mask.any(dim=1)
    values = of_all_rows(values, present)
    found: list[Tensor | None] = []
    lengths = sequence_lengths(mask).tolist()
    for row, has in enumerate(present.tolist()):
        if not has:
            found.append(None)
        elif name == "audio":
            found.append(audio_map(values[row, : lengths[row]]))
        else:
            pictures = picture_map(values[row, mask[row]])
            found.append(pictures[0] if name == "image" and len(pictures) == 1 else pictures)
    return found


def normalized(maps: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """Return the maps on the CPU, with sum 1 of each word."""
    stacked = {name: torch.stack(own).cpu() for name, own in maps.items()}
    totals = sum(x.flatten(1).sum(dim=1) for x in stacked.values())
    scaled = {}
    for name, x in stacked.items():
        total = totals.view(-1, *[1] * (x.dim() - 1))  # type: ignore[union-attr]
        scaled[name] = torch.where(total > 0, x / total.clamp(min=torch.finfo(x.dtype).tiny), 0)
    return scaled
