"""Speech models of torchaudio, with outputs that do not depend on padding.

torchaudio's own ``forward`` accepts lengths, but its first norm includes the padding, and WavLM
does not support them. Its modules and their weights are used unchanged.
"""

from math import gcd, inf
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.backbone.base import load_state
from mmtx_cli.hub.messages import one_line
from mmtx_cli.hub.origin import mark_pretrained
from mmtx_cli.layer.input.audio_frontend import over_time, unit_variance


class SpeechBody(nn.Module):
    """Convolutions with relative positions, then Transformer blocks (Baevski et al. 2020)."""

    def __init__(self, model: Any, normalize: bool, depth: int | None) -> None:
        """``model`` is a torchaudio Wav2Vec2Model; ``normalize`` standardizes its input.

        ``depth`` keeps only the first blocks.
        """
        super().__init__()
        transformer = model.encoder.transformer
        self.stem = SpeechStem(model, normalize)
        self.layers = transformer.layers[:depth]
        truncated = len(self.layers) < len(transformer.layers)
        norm_last = not (transformer.layer_norm_first or truncated)
        self.norm = transformer.layer_norm if norm_last else nn.Identity()
        self.relative = hasattr(self.layers[0].attention, "rel_attn_embed")  # WavLM

    def forward(
        self, sound: Float[Tensor, "b n"], length: Int[Tensor, " b"]
    ) -> tuple[list[Float[Tensor, "b l d"]], Bool[Tensor, "b l"]]:
        """Return the outputs of all blocks, the last one normalized, and the mask of frames."""
        x, mask = self.stem(sound, length)
        attended = mask | ~mask.any(
            dim=1, keepdim=True
        )  # unmask rows without real frames: avoids NaN
        if self.relative:  # the mask is added to position biases: use their dtype
            additive_mask = torch.zeros_like(
                attended, dtype=self.stem.projection.projection.weight.dtype
            )
            masks = {"key_padding_mask": additive_mask.masked_fill(~attended, -inf)}
        else:
            masks = {"attention_mask": attended[:, None, None].expand(-1, 1, attended.shape[1], -1)}
        bias, outputs = None, []
        for layer in self.layers:
            x, bias = layer(x, position_bias=bias, **masks)
            outputs.append(x)
        outputs[-1] = self.norm(outputs[-1])
        return outputs, mask

    def trial(self) -> Float[Tensor, "1 l d"]:
        """Return the last output for a short input."""
        return self(torch.zeros(1, 2 * self.stem.shortest), torch.tensor([self.stem.shortest]))[0][
            -1
        ]


class SpeechStem(nn.Module):
    """Waveform to frames 20 ms apart: convolutions, projection, convolutional positions."""

    def __init__(self, model: Any, normalize: bool) -> None:
        super().__init__()
        transformer = model.encoder.transformer
        self.normalize = normalize
        self.convolutions = model.feature_extractor.conv_layers
        self.projection = model.encoder.feature_projection
        self.position = transformer.pos_conv_embed
        self.norm = transformer.layer_norm if transformer.layer_norm_first else nn.Identity()
        self.dropout = transformer.dropout
        self.shortest = 1
        for part in reversed(self.convolutions):
            self.shortest = (self.shortest - 1) * part.stride + part.kernel_size

    def forward(
        self, sound: Float[Tensor, "b n"], length: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b l d"], Bool[Tensor, "b l"]]:
        """Return the frames and their mask; audio shorter than one frame is padded with silence."""
        if self.normalize:
            # the larger models were trained with normalized waveforms
            sound = unit_variance(sound[..., None], length_mask(length, sound.shape[1]), 1e-5)[
                ..., 0
            ]
        x = F.pad(sound, (0, max(self.shortest - sound.shape[1], 0)))[:, None]
        length = length.clamp(min=self.shortest) * (length > 0)
        for part in self.convolutions:
            x = part.conv(x)
            length = ((length - part.kernel_size) // part.stride + 1).clamp(min=0)
            if isinstance(part.layer_norm, nn.GroupNorm):
                x = over_time(part.layer_norm, x, length_mask(length, x.shape[2]))
            elif part.layer_norm is not None:
                x = part.layer_norm(x)
            x = F.gelu(x)
        mask = length_mask(length, x.shape[2])
        x = self.projection(x.mT).masked_fill(~mask[..., None], 0)
        return self.dropout(self.norm(x + self.position(x))), mask


def length_mask(length: Int[Tensor, " b"], n: int) -> Bool[Tensor, "b n"]:
    """Return a mask that is True for the first ``length`` of n elements."""
    return torch.arange(n, device=length.device) < length[:, None]


def speech_body(
    bundle: str,
    sample_rate: int,
    weights: bool | str | None,
    width: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    channels: int | None = None,
) -> SpeechBody:
    """Build the model of a bundle with its weights, reduced to its first ``depth`` blocks.

    Args:
        bundle: Name in ``torchaudio.pipelines``.
        sample_rate: Samples per second, which must be the bundle's.
        weights: True for the published ones, a local file, or None for random ones.
        width: Width, if not the bundle's.
        depth: Number of blocks to keep, if not all.
        heads: Number of attention heads, if not the bundle's.
        channels: Channels of the convolutions, if not the bundle's.

    Raises:
        ValueError: If the bundle is unknown, or the sizes, sample rate or weights do not fit it.
    """
    pipeline = named_bundle(bundle, sample_rate)
    sizes = {"body_width": width, "body_heads": heads, "body_channels": channels}
    sized = [f"{name}={size}" for name, size in sizes.items() if size is not None]
    if weights is True and sized:
        raise ValueError(f"the published weights of {bundle} do not fit {', '.join(sized)}")
    model: Any
    if weights is True:
        model = published(bundle, pipeline)
    else:
        model = with_sizes(pipeline, width, heads, channels)
    if weights and weights is not True:
        load(model, weights, bundle)
    blocks = len(model.encoder.transformer.layers)
    if depth is not None and not 0 < depth <= blocks:
        raise ValueError(f"body_depth={depth}: {bundle} has {blocks} blocks")
    return SpeechBody(model, pipeline._normalize_waveform, depth)


def named_bundle(name: str, sample_rate: int) -> Any:
    """Return a speech encoder bundle of torchaudio.

    Raises:
        ValueError: If the name is unknown or the bundle has another sample rate.
    """
    from torchaudio import pipelines

    kind = pipelines.Wav2Vec2Bundle
    known = [n for n in pipelines.__all__ if isinstance(getattr(pipelines, n), kind)]
    if name not in known:
        raise ValueError(f"bundle={name!r} is not one of {', '.join(known)}")
    bundle = getattr(pipelines, name)
    if bundle.sample_rate != sample_rate:
        raise ValueError(
            f"{name} expects {bundle.sample_rate} samples per second, not {sample_rate}: "
            f"set sample_rate={bundle.sample_rate}"
        )
    return bundle


def with_sizes(
    bundle: Any, width: int | None, heads: int | None, channels: int | None
) -> nn.Module:
    """Build the bundle's architecture with random weights.

    Args:
        bundle: Bundle of torchaudio.
        width: Width, if not the bundle's.
        heads: Number of attention heads, if not the bundle's.
        channels: Channels of the convolutions, if not the bundle's.
    """
    from torchaudio import models

    params = {**bundle._params, "aux_num_out": None}
    channels_a_group = params["encoder_embed_dim"] // params["encoder_pos_conv_groups"]
    if width is not None:
        params["encoder_embed_dim"], params["encoder_ff_interm_features"] = width, 4 * width
        params["encoder_pos_conv_groups"] = gcd(width, max(width // channels_a_group, 1))
    if heads is not None:
        params["encoder_num_heads"] = heads
    if channels is not None:
        layers = params["extractor_conv_layer_config"]
        params["extractor_conv_layer_config"] = [(channels, *layer[1:]) for layer in layers]
    if params["encoder_embed_dim"] % params["encoder_num_heads"]:
        body_width, body_heads = params["encoder_embed_dim"], params["encoder_num_heads"]
        raise ValueError(f"body_width={body_width} is not a multiple of body_heads={body_heads}")
    build = models.wavlm_model if bundle._model_type == "WavLM" else models.wav2vec2_model
    return build(**params)


def published(name: str, bundle: Any) -> nn.Module:
    """Return the bundle's model with its own weights, downloaded once."""
    try:
        model = bundle.get_model(dl_kwargs={"weights_only": True})
    except OSError as error:
        raise ValueError(
            f"the weights of {name} could not be downloaded ({one_line(error)}); "
            "give a local file: weights=FILE.pth"
        ) from error
    model = getattr(model, "model", model)  # some bundles wrap the model
    mark_pretrained(model.parameters())
    return model  # type: ignore[no-any-return]


def load(model: nn.Module, path: str, bundle: str) -> None:
    """Load a local state dict, without the output layer of a speech recognizer."""
    state = {k: v for k, v in load_state(path).items() if not k.startswith("aux.")}
    try:
        model.load_state_dict(state)
        mark_pretrained(model.parameters())
    except RuntimeError as error:
        raise ValueError(f"weights={path} do not fit {bundle}: {one_line(error)}") from error
