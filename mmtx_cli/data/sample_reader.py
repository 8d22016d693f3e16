"""Decoding of a sample's media files to tensors: images, video frames, audio, features."""

import os
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND, Preprocessing
from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.loader_worker import reading
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import OutsideError
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.naflex import shorter_side, to_patches
from mmtx_cli.media.transform import augmented, fit, to_tensor
from mmtx_cli.media.video.decode import Clip, decode_video
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits


class Media:
    """Decodes a sample's media; video, audio and large images are decoded in a subprocess.

    ``augment`` is applied to training images and frames; ``limits`` apply to each file.
    """

    def __init__(
        self,
        preparation: Preprocessing,
        augment: Callable[[Tensor], Tensor] | None = None,
        limits: DecodeLimits | None = None,
    ) -> None:
        self.preparation = preparation
        self.augment = augment
        self.limits = limits or DecodeLimits()
        self.guards: dict[int, IsolatedDecoder] = {}
        self.feature_files = FeatureFiles(self.limits)

    @property
    def guard(self) -> IsolatedDecoder:
        """The decoder of this process; a loader's workers are copies and create their own."""
        pid = os.getpid()
        if pid not in self.guards:
            limits = self.limits
            guard = IsolatedDecoder(limits.seconds, load_decoders, limits.bytes, limits.isolated)
            self.guards = {pid: guard}
        return self.guards[pid]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "guards": {}}

    def pictures(self, sample: Sample, seed: int) -> UInt8[Tensor, "l ..."]:
        """Return all images of a sample; image i is augmented with ``seed`` + i."""
        p = self.preparation
        naflex = p.resize_mode == "naflex"
        size = shorter_side(p.patch_size, p.max_patches) if naflex else p.image_size
        # a random crop may use only part of the image, so decode at a higher resolution
        scale = 1 if self.augment is None else 2
        pictures = []
        for path in sample.image:
            with reading(sample.id, path):
                pixels = read_picture(self.guard, path, size * scale, self.limits.pixels)
            pictures.append(to_tensor(pixels))
        if self.augment is not None:
            pictures = [augmented(p, self.augment, seed + i) for i, p in enumerate(pictures)]
        return self.fitted(pictures)

    def fitted(self, pictures: Sequence[UInt8[Tensor, "3 _ _"]]) -> UInt8[Tensor, "l ..."]:
        """Return decoded images in the size that the model reads; with naflex, their patches."""
        p = self.preparation
        size, mode = p.image_size, p.resize_mode
        if mode == "naflex":
            cut = [to_patches(x, p.patch_size, p.max_patches, i) for i, x in enumerate(pictures)]
            return torch.cat(cut)
        fitted = [fit(picture, size, mode) for picture in pictures]
        return fitted[0][None] if len(fitted) == 1 else torch.stack(fitted)

    def clip(self, sample: Sample, seed: int, offset: float | None) -> Clip:
        """Return the frames [t, 3, s, s] of a sample's video, augmented alike, and their times."""
        p = self.preparation
        size = p.image_size if self.augment is None else p.image_size * 5 // 4
        sampling = Sampling(p.num_frames, p.frame_sampling, p.fps)
        window = sample.start, sample.end
        clip = self.guard.run(
            decode_video, sample.video, sampling, size, p.resize_mode, *window, offset
        )
        if self.augment is None:
            return clip
        frames = augmented(clip.frames, self.augment, seed)
        return Clip(fit(frames, p.image_size, p.resize_mode), clip.seconds)

    def sound(self, sample: Sample, offset: float | None) -> Float[Tensor, "l h"] | None:
        """Return a sample's audio in hops of 10 ms; None if the file has no audio."""
        p = self.preparation
        window = sample.sound_window
        try:
            wave = self.guard.run(
                decode_sound, sample.audio, p.sample_rate, p.audio_seconds, *window, offset
            )
        except OutsideError:
            if not sample.has_own_sound:
                raise
            return None  # a video may be longer than its soundtrack
        return None if wave is None else hops(wave, p.sample_rate)

    def features(self, sample: Sample, name: str) -> Float[Tensor, "l c"]:
        """Return precomputed features, truncated to ``max_feature_length``."""
        p = self.preparation
        place = sample.features[name]
        with reading(sample.id, place.path):
            features = self.feature_files.read(place, p.features[name], p.max_feature_length)
        return torch.from_numpy(features)


def hops(wave: Float[Tensor, " n"], sample_rate: int) -> Float[Tensor, "l h"]:
    """Split a waveform into hops of 10 ms, zero-padding the last."""
    size = sample_rate // HOPS_PER_SECOND
    return F.pad(wave, (0, -len(wave) % size)).view(-1, size)
