"""A trained model that needs no pretrained files any more."""

import shutil
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def trained_model(config: Mapping[str, Any], weights: "Mapping[str, Tensor]", source: str) -> Any:
    """Return a trained model with its weights; ``source`` names them in messages."""
    from mmtx_cli.model.build import build_model
    from mmtx_cli.model.match_weights import build_fitting

    return build_fitting(lambda: build_model(config), weights, source)


def merged_model(
    config: Mapping[str, Any],
    weights: "Mapping[str, Tensor]",
    source: str,
) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Return the config and weights of a model with its language model and adapters merged in.

    Args:
        config: Config of the trained model.
        weights: Its tensors.
        source: Where they are from, for messages.

    Raises:
        ConfigError: If the pretrained weights are missing, or not those of training.
    """
    model = trained_model(config, weights, source)
    node = deepcopy(dict(config["model"]["decoder"]))
    for head in model.head.values():
        if hasattr(head, "decoder") and hasattr(head.decoder, "merge"):
            node |= head.decoder.merge()
    merged = {**config, "model": {**config["model"], "decoder": node}}
    return merged, {name: x.detach().contiguous() for name, x in model.state_dict().items()}


def write_published(
    out: Path, config: Mapping[str, Any], weights: "Mapping[str, Tensor]", source: str
) -> None:
    """Write a trained vision-language model in the format in which it was published.

    Args:
        out: A new or empty folder.
        config: Config of the trained model.
        weights: Its tensors.
        source: Where they are from, for messages.

    Raises:
        ConfigError: If the published weights are missing, or not those of training.
    """
    model = trained_model(config, weights, source)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for head in model.head.values():
            head.decoder.save_published(temporary)
        temporary.chmod(0o755)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
