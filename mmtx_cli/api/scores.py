"""How well texts fit inputs, by a captioner or by a dual encoder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader import make_loader
from mmtx_cli.data.text.answer_normalization import normal_answer
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.decoder.base import shifted
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.inference.head_predictions import Predicted
from mmtx_cli.inference.part_sampler import InOrder
from mmtx_cli.inference.predict import inference
from mmtx_cli.io.unicode import composed
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import IGNORE_INDEX

Unread = dict[int, str]
"""Why an input could not be read, by its index."""


def scoring_head(model: MultimodalModel, name: str | None) -> str:
    """Return the name of the head that compares texts with inputs.

    Args:
        model: The model.
        name: Its name, if there are several.

    Raises:
        ConfigError: if there is none of this name, or several without a name.
    """
    heads = [
        key
        for key, head in model.head.items()
        if head.traits.contrastive or hasattr(head, "decoder_context")
    ]
    if not heads:
        raise ConfigError(
            f"score: no head of this model compares texts with inputs (heads: "
            f"{', '.join(model.head)}); train one with head=captioning or head=contrastive"
        )
    if name is None and len(heads) > 1:
        raise ConfigError(f"score: the model has several heads for it; set head= to one of {heads}")
    if name is not None and name not in heads:
        raise ConfigError(f"head={name!r}: must be one of {', '.join(heads)}")
    return name or heads[0]


def text_tokens(
    texts: Sequence[str], head: Any, tokenizer: Tokenizer, device: torch.device
) -> Tensor:
    """Return the tokens of texts from BOS to EOS, [m, t], padded with IGNORE_INDEX.

    Args:
        texts: The texts.
        head: The captioning head that scores them.
        tokenizer: Its tokenizer.
        device: Of the result.

    Raises:
        DataError: if a text has more tokens than the head can generate.
    """
    if head.target == "answers":
        texts = [normal_answer(text) for text in texts]
    tokens, lengths = tokenizer.encode_measured([composed(t) for t in texts], head.max_length)
    too_long = [i for i, length in enumerate(lengths) if length > head.max_length]
    if too_long:
        raise DataError(
            *(
                f"texts[{i}]: {lengths[i]} tokens; this model scores at most {head.max_length}"
                for i in too_long
            )
        )
    rows = [torch.tensor(row, device=device) for row in tokens]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORE_INDEX)
    return padded.long()


def log_probabilities(
    model: MultimodalModel,
    head: Any,
    samples: ManifestDataset,
    texts: Tensor,
    batch_size: int,
    num_workers: int,
    precision: str,
) -> tuple[Float[np.ndarray, "n m"], Unread]:
    """Return the mean log-probability per token of each text for each input, EOS included.

    Args:
        model: The model.
        head: Its captioning head.
        samples: The inputs, whose ids are their indices.
        texts: Tokens of the texts, [m, t], on the device of the model.
        batch_size: Inputs per batch, and roughly texts per step of the decoder.
        num_workers: Processes that decode files.
        precision: Lightning's name of the precision.
    """
    inputs, targets = shifted(texts)
    counts = (targets != IGNORE_INDEX).sum(dim=1)
    scores = np.full((len(samples), len(texts)), np.nan, dtype=np.float32)
    unread: Unread = {}
    loader = make_loader(samples, InOrder(len(samples), batch_size), num_workers)
    with inference(texts.device, precision):
        for loaded in loader:
            unread |= {int(fault["id"]): fault["reason"] for fault in loaded.read_errors}
            rows = [int(i) for i in loaded.ids]
            batch = head.prepare_batch(loaded.to(texts.device))
            context = head.decoder_context(model.fusion(model.encode(batch)), batch)
            step = max(1, batch_size // len(rows))
            for first in range(0, len(texts), step):
                part = slice(first, first + step)
                several = (x[part].repeat(len(rows), 1) for x in (inputs, targets))
                found = head.decoder.log_probs(*several, context).sum(dim=1)
                scores[rows, part] = (found.view(len(rows), -1) / counts[part]).float().cpu()
    scores[[*unread]] = np.nan
    return scores, unread


def similarities(
    results: Predicted, name: str, vectors: Float[Tensor, "m e"], stream: str | None
) -> Float[np.ndarray, "n m"]:
    """Return the cosine similarities of inputs and texts by a contrastive head.

    Args:
        results: Outputs of the head for the inputs.
        name: The head.
        vectors: Unit embeddings of the texts.
        stream: The modality to compare; None: the one that an input has.

    Raises:
        ConfigError: if the head does not align the modality with text, or none is chosen and an
            input has several.
    """
    head, outputs = results.model.head[name], results.outputs(name)
    partners = head.text_partners()
    if stream is not None and stream not in partners:
        raise ConfigError(f"stream={stream!r}: must be one of {', '.join(partners)}")
    scores = np.full((len(outputs), len(vectors)), np.nan, dtype=np.float32)
    for i, output in enumerate(outputs):
        there = [key for key in partners if output[f"{key}_present"]]
        if stream is not None:
            there = [key for key in there if key == stream]
        if len(there) > 1:
            raise ConfigError(
                f"stream: an input has {' and '.join(there)}, each of which is compared with "
                "texts; choose one of them"
            )
        for key in there:
            scores[i] = (output[key].float() @ vectors.T).numpy()
    return scores
