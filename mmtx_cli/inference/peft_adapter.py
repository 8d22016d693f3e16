"""LoRA adapters of a language model in the format of the peft library."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.io.atomic import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER, WEIGHTS = "adapter", "adapter_model.safetensors"
PART = ".decoder.lm."
"""What stands before the names of a language model's tensors."""


def write_adapter(folder: Path, node: Mapping[str, Any], weights: "Mapping[str, Tensor]") -> None:
    """Write a folder that ``peft.PeftModel.from_pretrained`` loads onto the language model.

    Args:
        folder: The folder.
        node: Configuration of the decoder, with ``lora`` and the base model's ``weights``.
        weights: Tensors of the whole model.
    """
    import peft
    from safetensors.torch import save_file

    names = {name: name.split(PART, 1)[1] for name in weights if PART in name and "lora_" in name}
    modules = {name.partition(".lora_")[0].rpartition(".")[2] for name in names.values()}
    config = peft.LoraConfig(
        **{"task_type": "CAUSAL_LM", **node["lora"], "target_modules": sorted(modules)},
        base_model_name_or_path=node["weights"],
        inference_mode=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = {
        f"base_model.model.{own.replace('.default', '')}": weights[name].contiguous().clone()
        for name, own in names.items()
    }
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, {"format": "pt"})
