"""Base class and helpers of encoders with a pretrained backbone: freezing, LoRA, safe loading."""

import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.hub.messages import one_line
from mmtx_cli.hub.origin import mark_pretrained
from mmtx_cli.io.untrusted.bounded_file import check_regular
from mmtx_cli.io.untrusted.safetensors_file import check_header
from mmtx_cli.io.untrusted.tensor_checks import not_finite, tensor_fault
from mmtx_cli.io.untrusted.torch_file import check_archive
from mmtx_cli.layer.freeze import Freezable, freeze_first, reached_parameters, stem_before
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.layer.linear.lora import add_lora


class PretrainedEncoder(Freezable, Encoder):
    """An encoder with a pretrained backbone in ``body``: frozen, adapted or fine-tuned."""

    body: Any
    parts: Sequence[nn.Module] = ()
    """Stem and blocks of ``body``, which are registered there."""

    def blocks(self) -> list[nn.Module]:
        """Return the backbone's stem, with its embeddings and positions, then the blocks."""
        return list(self.parts)

    def finalize_backbone(
        self,
        freeze: bool | int,
        lora: int,
        tokens: Callable[[], Tensor],
        fault: str,
        layers: Sequence[nn.Module] = (),
    ) -> dict[str, nn.Parameter]:
        """Freeze and adapt the backbone, and set ``width`` by a trial run.

        Parameters that the tokens do not depend on (pooler, mask token) are frozen: distributed
        training would wait for their gradients.

        Args:
            freeze: True for the whole backbone, n for the stem and n blocks, False or 0 for
                nothing.
            lora: Rank of the LoRA adapters; 0 for none.
            tokens: Runs the encoder on a small input.
            fault: Error message for a failed trial run: which setting does not fit the backbone.
            layers: The blocks, if the trial run has to find the stem; for classes that do not
                override ``blocks``.

        Returns:
            The parameters that the tokens depend on, by name.

        Raises:
            ValueError: If the trial run fails, or ``freeze`` or ``lora`` does not fit the backbone.
        """
        try:
            with stem_before(self.body, layers[0]) if layers else nullcontext() as stem:
                x, used = self.trial_run(tokens)
        except (IndexError, RuntimeError, ValueError) as error:  # depends on the library
            raise ValueError(f"{fault}: {one_line(error)}") from error
        self.width = x.shape[-1]
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name in used)
        self.parts = tuple(self.blocks()) if stem is None else (stem, *layers)
        self.frozen = freeze_first(self.body, self.parts, freeze)
        if lora:
            self.adapt(lora, tokens)
        self.train()
        return used

    def trial_run(self, tokens: Callable[[], Tensor]) -> tuple[Tensor, dict[str, nn.Parameter]]:
        """Run once without dropout; return the output and the parameters that it depends on."""
        self.eval()
        with torch.enable_grad():
            x = tokens()
        reached = reached_parameters(x)
        return x, {k: p for k, p in self.body.named_parameters() if id(p) in reached}

    def adapt(self, rank: int, tokens: Callable[[], Tensor]) -> None:
        """Freeze all pretrained weights and add LoRA adapters to the blocks that are not frozen."""
        trainable = self.parts[len(self.frozen) :] if self.parts else [self.body]
        if not trainable or self.body in self.frozen:
            raise ValueError(
                f"lora={rank}: freeze leaves no block to adapt; omit it: lora already "
                "freezes the pretrained weights"
            )
        self.body.requires_grad_(False)
        # otherwise batch-norm statistics would change while the weights are frozen
        norms = [module for module in self.body.modules() if isinstance(module, _BatchNorm)]
        self.frozen = [*self.frozen, *norms]
        new = add_lora(trainable, rank)
        reached = reached_parameters(self.trial_run(tokens)[0])
        if any(id(parameter) not in reached for parameter in new):
            raise ValueError(
                f"lora={rank}: this backbone's attentions read their weights without calling the "
                "layers, so they cannot be adapted"
            )


def statistics(pixels: Pixels) -> dict[str, list[float]]:
    """Return the arguments of an equal pixel normalization."""
    return {"mean": pixels.mean.flatten().tolist(), "std": pixels.std.flatten().tolist()}


def is_file_name(weights: str) -> bool:
    """Return whether ``weights`` names a local file, rather than weights known to a library."""
    return weights.endswith((".safetensors", ".pt", ".pth", ".bin")) or "/" in weights


def load_state(path: str) -> dict[str, Tensor]:
    """Read the tensors of a weights file, without running any code in it.

    Raises:
        ValueError: If the file does not exist, cannot be read, or holds no finite state dict.
    """
    file = Path(path).expanduser()
    if not file.exists():
        raise ValueError(f"weights={path}: file not found")
    try:
        check_regular(file)
        state = read_tensors(file)
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"weights={path} cannot be read: {one_line(error)}") from error
    for key in ("state_dict", "model"):  # usual wrappers of training scripts
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise ValueError(f"weights={path}: does not contain a state dict of tensors")
    for name, tensor in state.items():
        if (fault := tensor_fault(tensor)) is not None:
            raise ValueError(f"weights={path}: {name} {fault}")
    if invalid := not_finite(state):
        raise ValueError(f"weights={path}: {invalid[0]} contains NaN or infinite values")
    return state


def torchvision_model(name: str, weights: str | None, **shape: Any) -> Any:
    """Build a torchvision model; ``weights`` is one of its weights names, a local file, or None.

    Raises:
        ValueError: If the model is unknown, or its weights cannot be found or read.
    """
    from torchvision.models import get_model, list_models

    if name not in list_models():
        raise ValueError(f"unknown torchvision model {name!r}")
    local = weights is not None and is_file_name(weights)
    try:
        model = get_model(name, weights=None if local else weights, **shape)
    except (OSError, ValueError, KeyError) as error:  # no network, or unknown weights
        raise ValueError(
            f"weights={weights}: cannot be found or downloaded for {name}: {one_line(error)}"
        ) from error
    if weights is not None and local:
        load_strictly(model, weights)
    if weights is not None:
        mark_pretrained(model.parameters())
    return model


def load_strictly(model: nn.Module, path: str) -> None:
    """Load all tensors of a model from a file. Raises ValueError if they do not match exactly."""
    try:
        model.load_state_dict(load_state(path))
    except RuntimeError as error:
        raise ValueError(f"weights={path} do not fit this model: {one_line(error)}") from error


def read_tensors(file: Path) -> Any:
    """Return the content of a .safetensors file, or of a file written by ``torch.save``."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        check_header(file)
        return load_file(file)
    if zipfile.is_zipfile(file):
        check_archive(file)
    return torch.load(file, map_location="cpu", weights_only=True)
