"""Sentence encoders: pooling and projection of tokens as the model's own configuration says.

Folders of sentence-transformers list their modules in ``modules.json``; only the known ones are
used, and the classes that the file names are never imported.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.decoder.language_model import weights_hash
from mmtx_cli.encoder.backbone.base import load_strictly
from mmtx_cli.hub.huggingface import optional_file
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.untrusted.bounded_file import MAX_CONFIG_BYTES, read_text
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.scoring.neural.text_encoder import TextEncoder, resolved

FORMER_MODES = {
    "pooling_mode_cls_token": "cls",  # nosec B105
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of the pooling in files of sentence-transformers before version 6, in the order in which the
results of several are concatenated."""
ACTIVATIONS = {"Tanh": torch.tanh, "Identity": lambda x: x, "ReLU": F.relu, "GELU": F.gelu}


class SentenceEncoder:
    """A text encoder with one vector for each text."""

    def __init__(self, weights: str, device: torch.device) -> None:
        """Load the model, its pooling and what follows.

        Raises:
            ValueError: if it cannot be loaded, or has a module that is not supported.
        """
        self.weights = weights
        own = _settings(weights, "sentence_bert_config.json")
        self.lowercase = bool(own.get("do_lower_case"))
        most = own.get("max_seq_length")
        self.encoder = TextEncoder(weights, device, limit=most if isinstance(most, int) else None)
        self.prompt = _prompt(_settings(weights, "config_sentence_transformers.json"))
        modules = _modules(weights)
        self.is_described = bool(modules)
        self.modes: list[str] = ["mean"]
        self.projections: list[Dense] = []
        for kind, path in modules[1:]:
            settings = _settings(weights, f"{path}/config.json") if path else {}
            if kind == "Pooling":
                self.modes = _modes(weights, settings)
                if self.prompt and not settings.get("include_prompt", True):
                    raise ValueError(
                        f"weights={weights}: leaves its prompt out of the pooling, which is not "
                        "supported; use another model"
                    )
            elif kind == "Dense":
                self.projections.append(_dense(weights, path, settings).to(device))
        # of the text encoder alone, as for other metrics, if nothing else has weights
        parts = [self.encoder.hash, *(weights_hash(layer)[:16] for layer in self.projections)]
        self.hash = parts[0]
        if self.projections:
            self.hash = sha256(" ".join(parts).encode()).hexdigest()[:16]

    def prepared(self, text: str) -> str:
        """Return the text that the tokenizer reads."""
        return self.prompt + (text.lower() if self.lowercase else text)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts, cut to the limit."""
        return self.encoder.encode([self.prepared(text) for text in texts])

    def vectors(self, tokens: Sequence[Sequence[int]]) -> Float[np.ndarray, "b d"]:
        """Return one vector for each text, given as tokens."""
        x, mask = self.encoder.vectors(tokens)
        with torch.inference_mode():
            vector = torch.cat([POOLING[mode](x, mask) for mode in self.modes], dim=1)
            for projection in self.projections:
                vector = projection(vector)
        return vector.cpu().numpy()

    def description(self) -> dict[str, Any]:
        """Return what identifies the model, for ``result.json``."""
        return {
            **self.encoder.description(self.weights),
            "weights_hash": self.hash,
            "pooling": self.modes,
            "projections": len(self.projections),
            "prompt": self.prompt,
            "lowercase": self.lowercase,
        }


class Dense(nn.Module):
    """A linear layer with an activation, named as in the files of sentence-transformers."""

    def __init__(self, settings: Mapping[str, Any], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        sizes = int(settings["in_features"]), int(settings["out_features"])
        self.linear = nn.Linear(*sizes, bias=bool(settings.get("bias", True)))
        self.activation = activation

    def forward(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Project vectors."""
        return self.activation(self.linear(x))


def _weighted_mean(x: Float[Tensor, "b l d"], mask: Tensor) -> Float[Tensor, "b d"]:
    """Return the mean of the tokens, weighted by their positions from 1 (SGPT)."""
    weights = (torch.arange(1, x.shape[1] + 1, device=x.device) * mask)[..., None]
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


POOLING: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda x, mask: x[:, 0],
    "max": lambda x, mask: x.masked_fill(~mask[..., None], -torch.inf).amax(dim=1),
    "mean": masked_mean,
    "mean_sqrt_len_tokens": lambda x, mask: masked_mean(x, mask) * mask.sum(1, keepdim=True).sqrt(),
    "weightedmean": _weighted_mean,
    "lasttoken": lambda x, mask: x[torch.arange(len(x), device=x.device), mask.sum(dim=1) - 1],
}
"""From tokens [b, l, d] and their mask [b, l] to vectors [b, d]."""


def _settings(weights: str, name: str) -> dict[str, Any]:
    """Return the content of a JSON file of a model; empty if it has no such file."""
    path = optional_file(resolved(weights), name)
    content = {} if path is None else _json(weights, path)
    if not isinstance(content, dict):
        raise ValueError(f"weights={weights}: {name} is not an object")
    return content


def _json(weights: str, path: Path) -> Any:
    try:
        return parsed_json(read_text(path, MAX_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"weights={weights}: {path.name} cannot be read ({error})") from error


def _modules(weights: str) -> list[tuple[str, str]]:
    """Return the class name and the folder of each module; empty without ``modules.json``."""
    path = optional_file(resolved(weights), "modules.json")
    if path is None:
        return []
    content = _json(weights, path)
    found: list[tuple[str, str]] = []
    for module in content if isinstance(content, list) else [None]:
        if not isinstance(module, dict):
            raise ValueError(f"weights={weights}: modules.json is not a list of modules")
        kind, folder = str(module.get("type")).rpartition(".")[2], str(module.get("path") or "")
        known = ("Pooling", "Normalize", "Dense") if found else ("Transformer",)
        if kind not in known or ".." in folder or folder.startswith("/"):
            raise ValueError(
                f"weights={weights}: modules.json has {kind} in {folder!r}, which is not supported "
                f"(only {', '.join(known)}); use another sentence encoder"
            )
        found.append((kind, folder))
    return found


def _modes(weights: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the kinds of pooling, whose results are concatenated."""
    given = settings.get("pooling_mode")
    if given is None:
        given = [mode for key, mode in FORMER_MODES.items() if settings.get(key)]
    modes = [given] if isinstance(given, str) else list(given)
    if not modes or any(mode not in POOLING for mode in modes):
        raise ValueError(
            f"weights={weights}: its pooling {modes} is not supported (only {', '.join(POOLING)})"
        )
    return modes


def _prompt(settings: Mapping[str, Any]) -> str:
    """Return the text that is put before every text by default."""
    name, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    return str(prompts.get(name, "")) if name and isinstance(prompts, dict) else ""


def _dense(weights: str, folder: str, settings: Mapping[str, Any]) -> Dense:
    name = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    places = settings.get("module_input_name"), settings.get("module_output_name")
    usual = all(place in (None, "sentence_embedding") for place in places)
    if name not in ACTIVATIONS or settings.get("use_residual") or not usual:
        raise ValueError(
            f"weights={weights}: its projection in {folder} has settings that are not supported; "
            "use another sentence encoder"
        )
    files = (f"{folder}/model.safetensors", f"{folder}/pytorch_model.bin")
    paths = (optional_file(resolved(weights), file) for file in files)
    path = next((path for path in paths if path is not None), None)
    if path is None:
        raise ValueError(f"weights={weights}: {files[0]} is missing")
    layer = Dense(settings, ACTIVATIONS[name])
    load_strictly(layer, str(path))
    return layer.eval()
