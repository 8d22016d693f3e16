"""What the encoders around a pretrained network share: freezing, adapting, loading safely."""

import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.io.safetensors_file import check_header
from mmtx_cli.io.tensor_checks import not_finite, tensor_fault
from mmtx_cli.io.torch_file import check_archive
from mmtx_cli.io.untrusted_file import check_regular
from mmtx_cli.layer.freeze import Freezable, freeze_first, reached_parameters, stem_before
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.layer.lora import add_lora


class PretrainedEncoder(Freezable, Encoder):
    """An encoder whose ``body`` comes from elsewhere: kept as it is, adapted, or trained on."""

    body: Any
    parts: Sequence[nn.Module] = ()
    """The stem and the blocks of the body, which registers them."""

    def blocks(self) -> list[nn.Module]:
        """The stem of the body, with its embeddings and positions, then the blocks."""
        return list(self.parts)

    def settle(
        self,
        freeze: bool | int,
        lora: int,
        tokens: Callable[[], Tensor],
        fault: str,
        layers: Sequence[nn.Module] = (),
    ) -> dict[str, nn.Parameter]:
        """Freeze and adapt the body; set ``width`` to what ``tokens()``, a small trial run, gives.

        ``fault`` is what to say where the trial fails: which setting does not fit the body.
        ``layers`` are the blocks of a body whose stem the trial is to find, for a class that does
        not say itself what its ``blocks()`` are.
        Parameters that the tokens do not depend on (of a pooler, of a mask token) are frozen:
        several devices would wait for their gradients. Returns those that they do depend on.
        Raises ValueError for a ``freeze`` or ``lora`` that does not fit the body.
        """
        try:
            with stem_before(self.body, layers[0]) if layers else nullcontext() as stem:
                x, used = self.tried(tokens)
        except (IndexError, RuntimeError, ValueError) as error:  # each library in its own way
            raise ValueError(f"{fault}: {brief(error)}") from error
        self.width = x.shape[-1]
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name in used)
        self.parts = tuple(self.blocks()) if stem is None else (stem, *layers)
        self.frozen = freeze_first(self.body, self.parts, freeze)
        if lora:
            self.adapt(lora, tokens)
        self.train()
        return used

    def tried(self, tokens: Callable[[], Tensor]) -> tuple[Tensor, dict[str, nn.Parameter]]:
        """Run once without dropout: the output, and the body's parameters that it depends on."""
        self.eval()
        with torch.enable_grad():
            x = tokens()
        reached = reached_parameters(x)
        return x, {k: p for k, p in self.body.named_parameters() if id(p) in reached}

    def adapt(self, rank: int, tokens: Callable[[], Tensor]) -> None:
        """Freeze every pretrained weight, and add adapters to the blocks that are not frozen."""
        free = self.parts[len(self.frozen) :] if self.parts else [self.body]
        if not free or self.body in self.frozen:
            raise ValueError(
                f"lora={rank}: freeze leaves no block to adapt; leave it out: lora keeps the "
                "pretrained weights as they are"
            )
        self.body.requires_grad_(False)
        # the statistics of a batch norm would move without its weights
        norms = [module for module in self.body.modules() if isinstance(module, _BatchNorm)]
        self.frozen = [*self.frozen, *norms]
        new = add_lora(free, rank)
        reached = reached_parameters(self.tried(tokens)[0])
        if any(id(parameter) not in reached for parameter in new):
            raise ValueError(
                f"lora={rank}: this body reads the weights of its attentions past the layers that "
                "hold them, so that they cannot be adapted"
            )


def statistics(pixels: Pixels) -> dict[str, list[float]]:
    """Arguments that normalise likewise."""
    return {"mean": pixels.mean.flatten().tolist(), "std": pixels.std.flatten().tolist()}


def missing_package(error: ImportError, extra: str) -> ValueError:
    """What to say where an optional package is not there."""
    return ValueError(
        f"this needs a package that is not installed ({error.name}): pip install mmtx[{extra}]"
    )


def brief(error: BaseException) -> str:
    """What a library says is wrong, as one short line."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 300 else f"{said[:300]} …"


def is_file_name(weights: str) -> bool:
    """Does it name a local file, rather than weights that a library knows?"""
    return weights.endswith((".safetensors", ".pt", ".pth", ".bin")) or "/" in weights


def load_state(path: str) -> dict[str, Tensor]:
    """Read the tensors of a file of weights; nothing in it is run.

    Raises ValueError if there is no such file, or it holds no state dict.
    """
    file = Path(path).expanduser()
    if not file.exists():
        raise ValueError(f"weights={path}: there is no such file")
    try:
        check_regular(file)
        state = read_tensors(file)
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"weights={path} cannot be read: {brief(error)}") from error
    for key in ("state_dict", "model"):  # as training scripts wrap it
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise ValueError(f"weights={path}: holds no state dict of tensors")
    for name, tensor in state.items():
        if (fault := tensor_fault(tensor)) is not None:
            raise ValueError(f"weights={path}: {name} {fault}")
    if odd := not_finite(state):
        raise ValueError(f"weights={path}: {odd[0]} holds NaN or infinite numbers")
    return state


def torchvision_model(name: str, weights: str | None, **shape: Any) -> Any:
    """A model of torchvision; ``weights`` is one of its names, a local file, or null.

    Raises ValueError if there is no such model, or its weights cannot be had.
    """
    from torchvision.models import get_model, list_models

    if name not in list_models():
        raise ValueError(f"torchvision has no model {name!r}")
    local = weights is not None and is_file_name(weights)
    try:
        model = get_model(name, weights=None if local else weights, **shape)
    except (OSError, ValueError, KeyError) as error:  # no network; no such weights
        raise ValueError(f"weights={weights}: cannot be had for {name}: {brief(error)}") from error
    if weights is not None and local:
        load_strictly(model, weights)
    return model


def load_strictly(model: nn.Module, path: str) -> None:
    """Load a file's tensors; every one of the model must be there. Raises ValueError if not."""
    try:
        model.load_state_dict(load_state(path))
    except RuntimeError as error:
        raise ValueError(f"weights={path} do not fit this model: {brief(error)}") from error


def read_tensors(file: Path) -> Any:
    """The content of a .safetensors file, or of one that torch.save made."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        check_header(file)
        return load_file(file)
    if zipfile.is_zipfile(file):
        check_archive(file)
    return torch.load(file, map_location="cpu", weights_only=True)
