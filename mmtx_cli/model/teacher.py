"""Trained models as teachers, loaded from their folders."""

from collections.abc import Callable, Mapping
from typing import Any

from mmtx_cli.data.text.tokenizer_choice import config_of
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.model.match_weights import build_fitting

Build = Callable[[Mapping[str, Any]], Any]
"""Builds a model from a run's config."""

SHARED: Mapping[str, tuple[str, ...]] = {
    "image": ("image_size", "resize_mode"),
    "video": ("image_size", "resize_mode", "num_frames", "frame_sampling", "fps"),
    "audio": ("sample_rate",),
    "text": ("text",),
}
"""Preprocessing settings that a model and its teacher must share, by modality."""


def teacher_model(path: str, folder: str, config: Mapping[str, Any], build: Build) -> Any:
    """Load a trained model as a teacher, and its config.

    Args:
        path: Config path of the head, for messages.
        folder: Folder of the trained model.
        config: Config of the model to train.
        build: Builds a model from a config.

    Raises:
        ConfigError: If the teacher reads a modality that the model lacks, or was trained with other
            preprocessing.
    """
    stored = config_of(path, folder)
    preprocessing, faults = config.get("preparation"), []
    encoders = [name for name, node in stored["model"]["encoder"].items() if node]
    for name in encoders:
        if name not in config["model"]["encoder"]:
            faults.append(f"{path}.teacher: reads {name}, but this model has no encoder for it")
        for key in SHARED[name] if preprocessing else ():
            old, new = stored["preparation"].get(key), preprocessing[key]  # type: ignore[index]
            if old != new:
                faults.append(
                    f"{path}.teacher: was trained with {key}={old}, but here it is {new}; both "
                    "read the same samples, so their preprocessing must match"
                )
    if faults:
        raise ConfigError(*faults)
    model = build_fitting(lambda: build(stored), read_weights(folder), f"{path}.teacher={folder}")
    return model, stored
