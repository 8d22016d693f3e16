"""A Transformer over patches of the log-mel spectrogram, trained from scratch."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.input.mel import HOPS_PER_SECOND, LogMel, SpecAugment
from mmtx_cli.layer.input.spectrogram import SpectrogramStem
from mmtx_cli.layer.input.stem import PatchStem, check_stem
from mmtx_cli.layer.position import SequencePosition, waves
from mmtx_cli.layer.sequence_mask import reach
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import Field, Patches, Patching, Tokens


class AudioAst(Encoder):
    """Audio Spectrogram Transformer (Gong et al. 2021), without its class token.

    A patch has a learned position in time, which stretches, plus one in frequency. With
    ``stem="conv"`` the patches come from stride-2 convolutions (Xiao et al. 2021), which tell short
    events within a patch apart; with "patch" each patch is read by itself, which masked
    pre-training needs.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        audio_seconds: float = 10.0,
        num_mels: int = 128,
        patch_size: int = 16,
        stride: int | None = None,
        width: int = 384,
        depth: int = 6,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        stem: str = "conv",
        normalise: str | None = "recording",
        mean: float | None = None,
        std: float | None = None,
        time_masks: int = 0,
        freq_masks: int = 0,
    ) -> None:
        """Patches are ``patch_size`` frames by as many bands.

        With ``stem="patch"`` they may overlap: they are ``stride`` apart (10 in the paper;
        default: ``patch_size``).

        ``audio_seconds`` have positions, longer sounds stretch them. ``normalise``, ``mean`` and
        ``std`` as in ``LogMel``; ``time_masks`` and ``freq_masks`` of SpecAugment in training.
        """
        super().__init__()
        check_stem(stem)
        stride = patch_size if stride is None else stride
        if not 0 < stride <= patch_size <= num_mels:
            raise ValueError(
                f"patches must overlap or touch and fit the bands: {stride=} <= {patch_size=} <= "
                f"{num_mels=} does not hold"
            )
        self.width, self.patch_size, self.stride = width, patch_size, stride
        self.mel = LogMel(sample_rate, num_mels, normalise=normalise, mean=mean, std=std)
        self.augment = SpecAugment(time_masks, freq_masks=freq_masks)
        if stem == "conv" and (stride != patch_size or num_mels % patch_size):
            raise ValueError(
                f"stem=conv has patches side by side: {stride=} is not {patch_size=}, or "
                f"{num_mels=} is not a multiple of it; change them or write stem=patch"
            )
        self.stem: nn.Module = (
            PatchStem(width, patch_size, channels=1)
            if stem == "patch"
            else SpectrogramStem(width, patch_size)
        )
        frames = math.ceil(audio_seconds * HOPS_PER_SECOND)
        self.time = SequencePosition(width, int(self.columns(torch.tensor(frames, device="cpu"))))
        self.band = nn.Parameter(waves((num_mels - patch_size) // stride + 1, width))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout, drop_path)

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, h]: l hops of 10 ms; from low to high, moment after moment."""
        x = self.embedded(self.augment(self.mel(field), field.mask), field.mask)
        moments = self.moments(field.mask, x.shape[1])
        x = x.flatten(1, 2) + self.positions(moments)
        mask = moments.repeat_interleave(len(self.band), dim=1)
        if field.shown:
            x, mask = field.shown.of(x), field.shown.mask
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def embedded(
        self, x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n k d"]:
        """The patches of ``k`` bands in ``n`` moments, before their positions are added."""
        if isinstance(self.stem, PatchStem):
            return self.stem(self.squares(x)[:, :, :, None])  # type: ignore[no-any-return]
        return self.stem(x, mask)  # type: ignore[no-any-return]

    def squares(self, x: Float[Tensor, "b l m"]) -> Float[Tensor, "b n k p p"]:
        """The frames and bands of each patch."""
        x = self.covering(x)
        for axis in (1, 2):
            x = x.unfold(axis, self.patch_size, self.stride)
        return x

    def covering(self, x: Float[Tensor, "b l m"]) -> Float[Tensor, "b n m"]:
        """With as many frames as whole patches need."""
        frames = x.shape[1]
        covered = -(-max(frames - self.patch_size, 0) // self.stride) * self.stride
        return F.pad(x, (0, 0, 0, covered + self.patch_size - frames))

    def positions(self, moments: Bool[Tensor, "b t"]) -> Float[Tensor, "b n d"]:
        """Of each band in each moment."""
        return (self.time(moments)[:, :, None] + self.band).flatten(1, 2)

    def patching(self) -> Patching | None:
        """Squares of the spectrogram, unless they overlap; not behind convolutions."""
        if self.stride != self.patch_size or not isinstance(self.stem, PatchStem):
            return None
        return Patching(self.patch_size**2, self.width, ("random", "moment", "tube"), self.patches)

    def patches(self, field: Field) -> Patches:
        """Normalised log-mel power, by frame and band."""
        x = self.squares(self.mel(field))
        moments = self.moments(field.mask, x.shape[1])
        mask = moments.repeat_interleave(len(self.band), dim=1)
        x = x.flatten(3).flatten(1, 2)
        return Patches(x, mask, self.positions(moments), len(self.band))

    def moments(self, mask: Bool[Tensor, "b l"], count: int) -> Bool[Tensor, "b count"]:
        """Which columns of patches a sample has: as many as cover it, none if it is absent."""
        needed = self.columns(reach(mask)) * mask.any(dim=1)
        return torch.arange(count, device=mask.device) < needed[:, None]

    def columns(self, frames: Tensor) -> Tensor:
        """Columns of patches that cover so many frames, at least one."""
        beyond = (frames - self.patch_size).clamp(min=0)
        return (beyond + self.stride - 1) // self.stride + 1

    def blocks(self) -> list[nn.Module]:
        """The stem with its positions, then the blocks."""
        stem = nn.ModuleList([self.stem, self.time])
        stem.register_parameter("band", self.band)
        return [stem, *self.transformer.blocks]
