"""Preprocessing settings, stored with the model since they must stay the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOPS_PER_SECOND = 100
"""Audio is read in hops of 10 ms."""
PLACE = "{text}"
"""Stands for the text of the row in the prompt of a language model."""


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that every sample passes through before the model.

    Args:
        image_size: Side of images and video frames in pixels.
        resize_mode: How images become square: crop, pad or squash; naflex keeps their aspect ratio.
        max_patches: Maximum number of patches of an image with naflex.
        patch_size: Side of these patches in pixels, which the image encoder determines.
        text: Column that the text encoder reads.
        max_length: Maximum number of tokens of a text.
        num_frames: Maximum number of frames of a video.
        frame_sampling: How frames are sampled: uniform, fps or dense.
        fps: Frames per second for fps and dense sampling.
        sample_rate: Rate in Hz to which audio is resampled.
        audio_seconds: Maximum length of audio.
        max_feature_length: Number of vectors read from the start of a feature sequence.
        prompt: Template of the prompt of a language model, with the row's text (None: no text).
        features: Modalities with precomputed features, and their sizes (None: not known yet).
    """

    image_size: int = 224
    resize_mode: str = "crop"
    text: str | None = "text"
    max_length: int = 64
    num_frames: int = 8
    frame_sampling: str = "uniform"
    fps: float | None = None
    sample_rate: int = 16000
    audio_seconds: float = 10.0
    max_feature_length: int = 512
    prompt: str | None = None
    max_patches: int = 256
    patch_size: int = 16
    features: Mapping[str, int | None] = field(default_factory=dict)


ROOT_KEYS = (
    "image_size",
    "max_length",
    "num_frames",
    "sample_rate",
    "audio_seconds",
    "max_feature_length",
)
"""Fields at the root of the configuration, since encoders depend on them."""

DATA_KEYS = ("resize_mode", "max_patches", "text", "frame_sampling", "fps")
"""Fields in the section ``data``."""

MODALITIES = ("image", "video", "audio", "text")
"""Modalities that a sample can have."""
