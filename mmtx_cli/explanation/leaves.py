"""The inputs of a batch as leaves of the graph of derivatives.

Shape letters: b batch, l pictures, frames or hops, s side of a picture, f audio frames, m bands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from mmtx_cli.encoder.audio.huggingface import SpectrogramFrontend
from mmtx_cli.layer.input.audio_frontend import WhisperLogMel
from mmtx_cli.layer.input.mel import LogMel
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch

LEVEL = 255.0


@dataclass
class Leaves:
    """The leaves by modality.

    Pixels from 0 to 1 [b, l, 3, s, s]; the spectrogram [b, f, m] of audio or, for an encoder that
    reads it directly, the waveform [b, l, h]. Rows may be those of the samples that have audio.
    """

    of: dict[str, Tensor]
    has_spectrogram: bool = False

    def centered(self, name: str) -> Tensor:
        """Return an input less its mean color, or the mean level of a spectrogram.

        The difference is what there is to see or hear: a plain picture shows nothing.
        """
        x = self.of[name].detach()
        if name == "audio":
            return x - x.mean(dim=(1, 2), keepdim=True) if self.has_spectrogram else x
        return x - x.mean(dim=(-2, -1), keepdim=True)

    def by_place(self, name: str, x: Tensor) -> Tensor:
        """Return values [b, l, s, s] of pictures, [b, f, m] of spectrograms, else [b, l, 1]."""
        if name != "audio":
            return x.sum(dim=2)
        return x if self.has_spectrogram else x.sum(dim=2, keepdim=True)


@contextmanager
def as_leaves(model: MultimodalModel, batch: Batch) -> Iterator[tuple[Batch, Leaves]]:
    """Yield a copy of the batch whose inputs are leaves, and the leaves.

    The spectrogram of audio is one as soon as it is computed.
    """
    leaves = Leaves({})
    for name in model.encoder:
        field = batch.inputs[name]
        if name in ("image", "video") and not model.encoder[name].reads_features:
            pixels = field.data.clone() if field.data.is_floating_point() else field.data / LEVEL
            leaves.of[name] = pixels.detach().requires_grad_()
        elif name == "audio" and not model.encoder[name].reads_features:
            leaves.of[name] = field.data.detach().clone().requires_grad_()
    inputs = {
        name: replace(field, data=leaves.of[name]) if name in leaves.of else field
        for name, field in batch.inputs.items()
    }
    hooks = spectrogram_hooks(dict(model.encoder).get("audio"), leaves)
    try:
        yield replace(batch, inputs=inputs), leaves
    finally:
        for hook in hooks:
            hook.remove()


def spectrogram_hooks(encoder: nn.Module | None, leaves: Leaves) -> list[Any]:
    """Let the spectrogram that an audio encoder computes be the leaf instead of the waveform."""

    def leaf(x: Tensor) -> Tensor:
        leaves.of["audio"], leaves.has_spectrogram = x.detach().requires_grad_(), True
        return leaves.of["audio"]

    def frames_first(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        return leaf(output)

    def bands_first(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        return leaf(output.mT).mT

    def passed(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "input_values": leaf(kwargs["input_values"])}

    hooks: list[Any] = []
    for module in () if encoder is None else encoder.modules():
        if isinstance(module, LogMel):
            hooks.append(module.register_forward_hook(frames_first))
        elif isinstance(module, WhisperLogMel):
            hooks.append(module.register_forward_hook(bands_first))
    if isinstance(getattr(encoder, "frontend", None), SpectrogramFrontend):
        body: Any = encoder.body  # type: ignore[union-attr]
        hooks.append(body.register_forward_pre_hook(passed, with_kwargs=True))
    return hooks


def of_all_rows(x: Tensor, present: Tensor) -> Tensor:
    """Return values of the samples that have a modality, with zeros for the others."""
    if len(x) == len(present):
        return x
    return x.new_zeros(len(present), *x.shape[1:]).index_put((present,), x)
