"""How samples become tensors: kept with the model, since it must stay the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preparation:
    """What every sample goes through before a model sees it.

    ``image_size`` is the side of pictures and frames in pixels, ``fit`` how they become square;
    ``text`` the column that the text encoder reads, ``max_length`` its tokens. ``num_frames``
    frames of a video are chosen by ``sampling`` at ``fps``. Sound is brought to ``sample_rate``,
    at most ``audio_seconds`` of it. ``features`` are the modalities that come as vectors which
    were extracted before, with the numbers of a vector (None: not known yet); of a sequence of
    them, the first ``max_feature_length`` are read.
    """

    image_size: int = 224
    fit: str = "crop"
    text: str | None = "text"
    max_length: int = 64
    num_frames: int = 8
    sampling: str = "uniform"
    fps: float | None = None
    sample_rate: int = 16000
    audio_seconds: float = 10.0
    max_feature_length: int = 512
    features: Mapping[str, int | None] = field(default_factory=dict)


ROOT_KEYS = (
    "image_size",
    "max_length",
    "num_frames",
    "sample_rate",
    "audio_seconds",
    "max_feature_length",
)
"""Those that stand at the root of the configuration, since encoders are made for them."""

DATA_KEYS = ("fit", "text", "sampling", "fps")
"""Those in the section ``data``."""

MODALITIES = ("image", "video", "audio", "text")
"""What a sample can bring."""
