"""Cache cards of a run's encoders and teachers: what determines their cached outputs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmtx_cli.data.cache.card import BODY, Card, preprocessing_of, tokenizer_hash, weights_hash

if TYPE_CHECKING:
    from mmtx_cli.data.corpus import Corpus


def encoder_card(
    part: str,
    encoder: Any,
    node: Mapping[str, Any],
    state: Mapping[str, Any],
    corpus: "Corpus",
    cfg: Mapping[str, Any],
    dtype: str,
) -> Card:
    """Return the card of an encoder, or of its body only.

    Args:
        part: Name of the module, such as ``encoder.image`` or ``encoder.image.body``.
        encoder: The encoder.
        node: Its plain configuration.
        state: Weights of the whole model.
        corpus: The data.
        cfg: The configuration.
        dtype: Data type of the cached features.
    """
    name = part.removesuffix(BODY)
    prefix, width = f"{name}.", encoder.width
    if part.endswith(BODY):
        prefix, width = prefix + encoder.body_prefix, encoder.pooled_width()
        node = {key: value for key, value in node.items() if key not in encoder.behind_body}
    module_state = {key: weights for key, weights in state.items() if key.startswith(prefix)}
    return card_of(
        part, name.removeprefix("encoder."), node, module_state, corpus, cfg, width, dtype
    )


def teacher_card(
    part: str, modality: str, teacher: Any, corpus: "Corpus", cfg: Mapping[str, Any], dtype: str
) -> Card:
    """Return the card of a head's teacher.

    A teacher is identified by its architecture and weights, not by the folder or package that it
    was loaded from.

    Args:
        part: Name of the module, such as ``head.NAME.teacher``.
        modality: Its modality.
        teacher: The teacher.
        corpus: The data.
        cfg: The configuration.
        dtype: Data type of the cached features.
    """
    node = {"class": type(teacher).__name__, **teacher.rebuild_kwargs()}
    width = teacher.pooled_width()
    return card_of(part, modality, node, teacher.state_dict(), corpus, cfg, width, dtype)


def card_of(
    part: str,
    modality: str,
    node: Mapping[str, Any],
    state: Mapping[str, Any],
    corpus: "Corpus",
    cfg: Mapping[str, Any],
    width: int,
    dtype: str,
) -> Card:
    """Return the cache card of a module.

    Args:
        part: Name of the module.
        modality: Its modality.
        node: Configuration that rebuilds it without its pretrained weights.
        state: Its weights.
        corpus: The data.
        cfg: The configuration.
        width: Features per vector.
        dtype: Data type of the cached features.
    """
    preparation = corpus.preparation
    reads_words = modality == "text" and modality not in preparation.features
    tokenizer = (corpus.text_tokenizer or corpus.tokenizer) if reads_words else None
    return Card(
        part=part,
        modality=modality,
        weights=weights_hash(state),
        config=json.loads(json.dumps(node)),  # as ``Card.read`` returns it
        preparation=preprocessing_of(preparation, modality),
        tokenizer=tokenizer_hash(tokenizer),
        seed=cfg["seed"],
        width=width,
        dtype=dtype,
    )
