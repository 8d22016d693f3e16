"""Causal language models of the transformers library: pretrained, or new."""

import re
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stderr
from difflib import get_close_matches
from hashlib import sha256
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from mmtx_cli.hub.huggingface import (
    quiet_logging,
    source_of,
    transformers,
    wrap_loading_errors,
)
from mmtx_cli.hub.loading import reading_weights
from mmtx_cli.hub.messages import missing_package, one_line
from mmtx_cli.hub.origin import mark_pretrained

SIZES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
}
"""Our names of the sizes of a new model, and those that every configuration supports."""
PACKAGE = "package:"


def language_model(
    weights: str | None,
    dtype: str,
    architecture: str,
    sizes: Mapping[str, int | None],
    values: Mapping[str, Any],
) -> nn.Module:
    """Return a pretrained model, or a new one if ``weights`` is None.

    Args:
        weights: Hub name, folder, GGUF file, or None.
        dtype: Type of the weights.
        architecture: Of a new model.
        sizes: Of a new model.
        values: Further configuration values of a new model.
    """
    if weights is not None:
        return load_pretrained(weights, dtype)
    return new_language_model(architecture, sizes, values, dtype)


def location(weights: str) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that name a model: a hub name, folder or GGUF.

    Raises:
        ValueError: If a file or folder does not exist, or is of another kind.
    """
    path = package_file(weights) or Path(weights).expanduser()
    if path.suffix != ".gguf":
        return {"pretrained_model_name_or_path": source_of(weights)}
    if not path.is_file():
        raise ValueError(f"weights={weights}: file not found")
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise missing_package(error, "gguf") from error
    return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}


def package_file(weights: str) -> Path | None:
    """Return the path of ``package:NAME/FILE``, a file of an installed Python package, else None.

    Raises:
        ValueError: If the package is not installed.
    """
    if not weights.startswith(PACKAGE):
        return None
    name, _, file = weights.removeprefix(PACKAGE).partition("/")
    spec = find_spec(name) if name.isidentifier() else None
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ValueError(f"weights={weights}: the Python package {name!r} is not installed")
    return Path(folders[0], file)


def load_pretrained(weights: str, dtype: str, kind: str = "AutoModelForCausalLM") -> nn.Module:
    """Load a pretrained model; the tensors of a GGUF file are dequantized.

    Args:
        weights: Hub name, folder or GGUF file.
        dtype: Type of the weights.
        kind: Class of transformers that loads it.

    Raises:
        ValueError: If it cannot be found or read, is of another kind, or lacks tensors.
    """
    library, arguments = transformers(), location(weights)
    auto = getattr(library, kind)
    files = "config.json and model.safetensors"
    # the bar of the GGUF reader ignores the library's settings
    quiet = redirect_stderr(StringIO()) if "gguf_file" in arguments else nullcontext()
    with wrap_loading_errors(weights, files), quiet_logging(), quiet, reading_weights():
        if torch.get_default_device().type == "meta":  # without memory: only its shape
            config = library.AutoConfig.from_pretrained(**arguments, trust_remote_code=False)
            return plain_model(auto.from_config(config))
        lm, info = auto.from_pretrained(
            **arguments,
            trust_remote_code=False,
            weights_only=True,
            dtype=dtype,
            output_loading_info=True,
        )
    mark_pretrained(lm.parameters())
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"weights={weights}: {len(missing)} tensors of the model are missing "
            f"({', '.join(missing[:3])}, …)"
        )
    return plain_model(lm)


def weights_hash(lm: nn.Module) -> str:
    """Return a hash of the weights of a model in bfloat16, whatever the type they were read in."""
    digest = sha256()
    for name, tensor in sorted(lm.state_dict().items()):
        content = tensor.detach().to(torch.bfloat16).contiguous().view(torch.int16)
        check = crc32(content.cpu().numpy().data)
        digest.update(f"{name} {list(tensor.shape)} {check};".encode())
    return digest.hexdigest()


def checked_hash(lm: nn.Module, weights: str, expected: str | None, section: str) -> str | None:
    """Return the hash of pretrained weights.

    Args:
        lm: The model.
        weights: Where its weights are from.
        expected: Hash of the weights that a model was trained with; None if it is new.
        section: Config section of the model, for messages.

    Raises:
        ValueError: If they are not those.
    """
    if next(lm.parameters()).is_meta:
        return expected
    found = weights_hash(lm)
    if expected not in (None, found):
        raise ValueError(
            f"weights={weights}: not the weights that this model was trained with; set "
            f"{section}.weights to those"
        )
    return found


def plain_model(lm: Any) -> nn.Module:
    """Return a model without the traces of quantization that keep it from being saved."""
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config
    lm.config.use_cache = False
    return lm  # type: ignore[no-any-return]


def new_language_model(
    architecture: str,
    sizes: Mapping[str, int | None],
    values: Mapping[str, Any],
    dtype: str = "float32",
) -> nn.Module:
    """Build a model with random weights.

    Args:
        architecture: A ``model_type`` of transformers, such as llama.
        sizes: Sizes by our names; None keeps the default.
        values: Further values of its configuration.
        dtype: Type of the weights.

    Raises:
        ValueError: If the architecture is unknown, or does not support the values.
    """
    library = transformers()
    known = list(library.CONFIG_MAPPING.keys())
    if architecture not in known:
        close = ", ".join(get_close_matches(architecture, known, n=3)) or "llama, gpt2, qwen2, …"
        raise ValueError(
            f"architecture={architecture!r}: unknown to transformers; did you mean {close}?"
        )
    requested = {SIZES[name]: value for name, value in sizes.items() if value is not None}
    try:
        with quiet_logging():
            config = library.AutoConfig.for_model(architecture, **{**values, **requested})
            lm = library.AutoModelForCausalLM.from_config(
                config, trust_remote_code=False, dtype=getattr(torch, dtype)
            )
    except Exception as error:  # exception types differ between architectures
        raise ValueError(f"architecture={architecture}: {one_line(error)}") from error
    return plain_model(lm)


def add_adapters(lm: Any, lora: Mapping[str, Any]) -> None:
    """Freeze a model and add LoRA adapters (Hu et al. 2021) by the peft library, in float32.

    Args:
        lm: The model.
        lora: Arguments of ``peft.LoraConfig``; by default, all linear layers but the output layer
            are adapted.

    Raises:
        ValueError: If an argument is unknown, or the targets match no layer.
    """
    try:
        import peft
    except ImportError as error:
        raise missing_package(error, "peft") from error
    try:
        config = peft.LoraConfig(
            **{"target_modules": "all-linear", "task_type": "CAUSAL_LM", **lora}
        )
        config.exclude_modules = with_tied_layers(lm, config.exclude_modules)
        lm.add_adapter(config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"lora: {one_line(error)}") from error
    for parameter in lm.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def with_tied_layers(lm: Any, excluded: Any) -> Any:
    """Return ``exclude_modules`` of peft with the layers that share the embeddings' weight.

    A merged adapter would change the embeddings, too. peft excludes only the output layer that a
    model names as such.
    """
    shared = lm.get_input_embeddings().weight
    tied = [n for n, m in lm.named_modules() if isinstance(m, nn.Linear) and m.weight is shared]
    if not tied or lm.get_output_embeddings() is not None:
        return excluded
    if isinstance(excluded, str):
        return "|".join([f"({excluded})", *map(re.escape, tied)])
    return [*(excluded or ()), *tied]


def hidden_states(lm: Any, **inputs: Any) -> Tensor:
    """Return the last hidden states of a model, without its output layer."""
    return lm.base_model(**inputs).last_hidden_state  # type: ignore[no-any-return]


def merge_adapters(lm: Any) -> None:
    """Add the updates of LoRA adapters to the weights, and remove the adapters, in place."""
    for name, module in list(lm.named_modules()):
        if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(lm.get_submodule(parent), child, module.get_base_layer())


LARGE = 100.0
"""Factor at which a cap of the logits becomes visible."""


def has_plain_output(lm: Any) -> bool:
    """Return whether the logits are the hidden states times the weight of the output layer.

    Some architectures have a bias, or scale or cap their logits (Gemma 2, Cohere, Granite).
    """
    layer = lm.get_output_embeddings()
    if not isinstance(layer, nn.Linear) or layer.bias is not None:
        return False
    # not 0, whose embedding may be that of padding: zeros
    ids = torch.tensor([[1, 2]], device=layer.weight.device)
    was_training = lm.training
    hook = layer.register_forward_pre_hook(lambda _, args: (LARGE * args[0],))
    try:
        with torch.no_grad():
            lm.eval()
            found = layer(hidden_states(lm, input_ids=ids)).float()
            wanted = lm(input_ids=ids).logits.float()
    finally:
        hook.remove()
        lm.train(was_training)
    return bool((found - wanted).norm() <= 1e-3 * wanted.norm())
