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
from mmtx_cli.layer.position import SequencePosition, sinusoids
from mmtx_cli.layer.sequence_mask import sequence_lengths
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Patches, Patchifier, Tokens


class AstAudioEncoder(Encoder):
    """Audio Spectrogram Transformer (Gong et al. 2021), without its class token.

    Each patch has a learned position in time, which is interpolated for longer audio, plus one in
    frequency. With ``stem="conv"`` patches are embedded by stride-2 convolutions (Xiao et al.
    2021), which resolve short events within a patch; with "patch" each patch is embedded
    separately, which masked pretraining needs.
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
        normalize: str | None = "recording",
        mean: float | None = None,
        std: float | None = None,
        time_masks: int = 0,
        freq_masks: int = 0,
    ) -> None:
        """Patches are ``patch_size`` frames by ``patch_size`` mel bands.

        With ``stem="patch"`` they may overlap: ``stride`` is the distance between patches (10 in
        the paper; default: ``patch_size``).

        Positions are learned for ``audio_seconds`` of audio and interpolated for longer recordings.
        ``normalize``, ``mean`` and ``std`` are as in ``LogMel``; ``time_masks`` and ``freq_masks``
        are the numbers of SpecAugment masks in training.
        """
        super().__init__()
        check_stem(stem)
        stride = patch_size if stride is None else stride
        if not 0 < stride <= patch_size <= num_mels:
            raise ValueError(
                f"{stride=}, {patch_size=}, {num_mels=}: must satisfy 0 < stride <= patch_size <= "
                "num_mels, so that patches overlap or touch and fit the bands"
            )
        self.width, self.patch_size, self.stride = width, patch_size, stride
        self.mel = LogMel(sample_rate, num_mels, normalize=normalize, mean=mean, std=std)
        self.augment = SpecAugment(time_masks, freq_masks=freq_masks)
        if stem == "conv" and (stride != patch_size or num_mels % patch_size):
            raise ValueError(
                f"stem=conv requires adjacent patches: {stride=} must equal {patch_size=}, and "
                f"{num_mels=} must be a multiple of it; change them or use stem=patch"
            )
        self.stem: nn.Module = (
            PatchStem(width, patch_size, channels=1)
            if stem == "patch"
            else SpectrogramStem(width, patch_size)
        )
        frames = math.ceil(audio_seconds * HOPS_PER_SECOND)
        self.time = SequencePosition(width, int(self.columns(torch.tensor(frames, device="cpu"))))
        self.band = nn.Parameter(sinusoids((num_mels - patch_size) // stride + 1, width))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout, drop_path)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, h]: l hops of 10 ms.

        Tokens are ordered by time, then from low to high frequency.
        """
        x = self.embedded(self.augment(self.mel(field), field.mask), field.mask)
        column_mask = self.moments(field.mask, x.shape[1])
        x = x.flatten(1, 2) + self.positions(column_mask)
        mask = column_mask.repeat_interleave(len(self.band), dim=1)
        if field.visible:
            x, mask = field.visible.of(x), field.visible.mask
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def embedded(
        self, x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n k d"]:
        """Return the embeddings of ``k`` bands at ``n`` time steps, before positions are added."""
        if isinstance(self.stem, PatchStem):
            return self.stem(self.squares(x)[:, :, :, None])  # type: ignore[no-any-return]
        return self.stem(x, mask)  # type: ignore[no-any-return]

    def squares(self, x: Float[Tensor, "b l m"]) -> Float[Tensor, "b n k p p"]:
        """Cut a spectrogram into patches of frames and bands."""
        x = self.covering(x)
        for axis in (1, 2):
            x = x.unfold(axis, self.patch_size, self.stride)
        return x

    def covering(self, x: Float[Tensor, "b l m"]) -> Float[Tensor, "b n m"]:
        """Pad a spectrogram to a whole number of patches in time."""
        frames = x.shape[1]
        span = -(-max(frames - self.patch_size, 0) // self.stride) * self.stride
        return F.pad(x, (0, 0, 0, span + self.patch_size - frames))

    def positions(self, column_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b n d"]:
        """Return the position of each band at each time step."""
        return (self.time(column_mask)[:, :, None] + self.band).flatten(1, 2)

    def patching(self) -> Patchifier | None:
        """Return the patches of the spectrogram; None if they overlap or pass convolutions."""
        if self.stride != self.patch_size or not isinstance(self.stem, PatchStem):
            return None
        return Patchifier(
            self.patch_size**2, self.width, ("random", "moment", "tube"), self.patches
        )

    def patches(self, field: ModalityInput) -> Patches:
        """Return the patches of normalized log-mel power, in the order frame, band."""
        x = self.squares(self.mel(field))
        column_mask = self.moments(field.mask, x.shape[1])
        mask = column_mask.repeat_interleave(len(self.band), dim=1)
        x = x.flatten(3).flatten(1, 2)
        return Patches(x, mask, self.positions(column_mask), len(self.band))

    def moments(self, mask: Bool[Tensor, "b l"], count: int) -> Bool[Tensor, "b count"]:
        """Return which columns of patches are real: those that cover the recording, if any."""
        num_columns = self.columns(sequence_lengths(mask)) * mask.any(dim=1)
        return torch.arange(count, device=mask.device) < num_columns[:, None]

    def columns(self, frames: Tensor) -> Tensor:
        """Return the number of columns of patches that cover ``frames`` frames, at least one."""
        remaining = (frames - self.patch_size).clamp(min=0)
        return (remaining + self.stride - 1) // self.stride + 1

    def blocks(self) -> list[nn.Module]:
        """Return the stem with its positions, then the blocks."""
        stem = nn.ModuleList([self.stem, self.time])
        stem.register_parameter("band", self.band)
        return [stem, *self.transformer.blocks]
