"""Encoders as earlier versions computed them, for the models that these versions trained.

Only stored models have them (``io/former_forms.py``). Each is built as the present class, whose
arguments it shares, and then gets back the parts that were replaced since.
"""

from typing import Any

from torch import nn

from mmtx_cli.encoder.audio.ast import AstAudioEncoder
from mmtx_cli.encoder.audio.spectrogram_cnn import SpectrogramCnnAudioEncoder
from mmtx_cli.encoder.image.vit import ViTImageEncoder
from mmtx_cli.encoder.text.transformer import TransformerTextEncoder
from mmtx_cli.encoder.video.per_frame import PerFrameVideoEncoder
from mmtx_cli.encoder.video.vit import ViTVideoEncoder
from mmtx_cli.layer.earlier import AttentionPool, Convolutions, Nothing, Projection, Restoring
from mmtx_cli.layer.input.stem import PatchStem


class EarlierViTImageEncoder(ViTImageEncoder, metaclass=Restoring):
    """Patches are projected, or pass strided convolutions without a separate path for colors."""

    def _restore(self) -> None:
        if isinstance(self.stem, PatchStem):
            self.stem = Projection(self.width, (3, self.patch_size, self.patch_size))
        else:
            self.stem = Convolutions(self.width, self.patch_size)


class EarlierViTVideoEncoder(ViTVideoEncoder, metaclass=Restoring):
    """Tubelets are projected, without differences between time steps."""

    def _restore(self) -> None:
        shape = (3, self.tubelet_size, self.patch_size, self.patch_size)
        self.stem, self.change = Projection(self.width, shape), Nothing()  # type: ignore[assignment]


class EarlierPerFrameVideoEncoder(PerFrameVideoEncoder, metaclass=Restoring):
    """Frames are always projected, and pooled by attention; without their differences."""

    def _restore(self) -> None:
        width = self.image.width
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.width))
        self.change = Nothing()  # type: ignore[assignment]
        if self.pool is not None:
            heads: Any = self.transformer.blocks[0].attention.num_heads  # type: ignore[union-attr]
            self.pool = AttentionPool(self.width, self.tokens_per_frame, heads)  # type: ignore[assignment]


class EarlierAstAudioEncoder(AstAudioEncoder, metaclass=Restoring):
    """Patches of the spectrogram are projected."""

    def _restore(self) -> None:
        self.stem = Projection(self.width, (1, self.patch_size, self.patch_size))


class EarlierSpectrogramCnnAudioEncoder(SpectrogramCnnAudioEncoder, metaclass=Restoring):
    """The output of the convolutions is not normalized."""

    def _restore(self) -> None:
        self.norm = nn.Identity()  # type: ignore[assignment]


class EarlierTransformerTextEncoder(TransformerTextEncoder, metaclass=Restoring):
    """Tokens do not pass a convolution over their neighbors."""

    def _restore(self) -> None:
        self.neighbors = Nothing()  # type: ignore[assignment]
