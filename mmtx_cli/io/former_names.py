"""Former names of classes and keys, so that what earlier versions stored keeps loading.

Model folders, checkpoints, run folders and caches store dotted names of classes and whole
configurations; ``renamed`` is applied to everything that is read from them. A former name that a
user writes is rejected, and ``rename_hint`` ends the message.
"""

from collections.abc import Mapping
from typing import Any

PACKAGE = "mmtx_cli."
MODULES: Mapping[str, str] = {
    "encoder.audio.body": "encoder.backbone.torchaudio_body",
    "encoder.audio.pipeline": "encoder.audio.torchaudio",
    "encoder.features": "encoder.precomputed",
    "encoder.huggingface": "encoder.backbone.hf_model",
    "encoder.pretrained": "encoder.backbone.base",
    "encoder.video.body": "encoder.backbone.torchvision_video_body",
    "encoder.video.frames": "encoder.video.per_frame",
    "head.evaluation": "head.eval_only",
    "head.masked_language": "head.masked_lm",
    "head.prefix_language": "head.prefix_lm",
    "head.probe": "head.embedding_probe",
    "layer.audio_input": "layer.input.audio_frontend",
    "layer.feature_map": "layer.input.cnn_tokens",
    "layer.frozen": "layer.frozen_teacher",
    "layer.mel": "layer.input.mel",
    "layer.pixels": "layer.input.pixel_norm",
    "layer.query": "layer.query_decoder",
    "layer.sequence": "layer.modality_sequence",
    "layer.spectrogram": "layer.input.spectrogram",
    "layer.stem": "layer.input.stem",
    "layer.voting": "layer.score_fusion",
}
"""Modules of components, relative to ``mmtx_cli``. When a class moves again, update the right side
and add a row.
"""

CLASSES: Mapping[str, str] = {
    "AudioAst": "AstAudioEncoder",
    "AudioPipeline": "TorchaudioAudioEncoder",
    "AudioSpectrogramCnn": "SpectrogramCnnAudioEncoder",
    "AudioWaveform": "WaveformAudioEncoder",
    "FeatureEncoder": "PrecomputedEncoder",
    "Frozen": "FrozenTeacher",
    "HuggingFaceAudio": "HuggingFaceAudioEncoder",
    "HuggingFaceImage": "HuggingFaceImageEncoder",
    "HuggingFaceText": "HuggingFaceTextEncoder",
    "HuggingFaceVideo": "HuggingFaceVideoEncoder",
    "ImageCnn": "CnnImageEncoder",
    "ImageEfficientNetLite": "EfficientNetLiteImageEncoder",
    "ImageTimm": "TimmImageEncoder",
    "ImageTorchvisionVit": "TorchvisionViTImageEncoder",
    "ImageViT": "ViTImageEncoder",
    "MaskedLanguageHead": "MaskedLMHead",
    "PrefixLanguageHead": "PrefixLMHead",
    "Sequenced": "ModalitySequence",
    "SpectrogramEar": "SpectrogramFrontend",
    "StandIns": "MissingModalityTokens",
    "TextTransformer": "TransformerTextEncoder",
    "VideoFrames": "PerFrameVideoEncoder",
    "VideoTorchvision": "TorchvisionVideoEncoder",
    "VideoViT": "ViTVideoEncoder",
    "Vote": "ScoreFusion",
    "WaveEar": "WaveformFrontend",
    "WhisperEar": "WhisperFrontend",
}
"""Classes of components, wherever they are in ``mmtx_cli``."""

ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "encoder": {"mix": "layer_mix", "normalise": "normalize"},
    "head": {"at": "k", "reads": "streams", "says": "target"},
}
"""Arguments of components, by the package of their class."""

VALUES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "head": {"target": {"normalised": "normalized"}},
}
"""Values of (present) arguments of components, by the package of their class."""

KEYS: Mapping[str, str] = {
    "data.bucket": "data.length_bucketing",
    "data.fit": "data.resize_mode",
    "data.limit": "data.limit_samples",
    "data.max_bad_fraction": "data.max_unreadable_fraction",
    "data.mix": "data.mixture_mode",
    "data.sampling": "data.frame_sampling",
    "data.tokenizer_size": "data.tokenizer_vocab_size",
    "preparation.fit": "preparation.resize_mode",
    "preparation.sampling": "preparation.frame_sampling",
    "trainer.accumulate": "trainer.accumulate_grad_batches",
    "trainer.bad_steps": "trainer.max_skipped_steps",
    "trainer.checkpointing": "trainer.activation_checkpointing",
    "trainer.clip": "trainer.gradient_clip_val",
    "trainer.encode_batch": "trainer.encoder_micro_batch",
    "trainer.spike": "trainer.loss_spike_factor",
}
"""Keys of sections."""

COMMAND_KEYS: Mapping[str, Mapping[str, str]] = {
    "eval": {
        "cost": "profile",
        "diagnose": "modality_importance",
        "drop": "drop_modalities",
        "floors": "baselines",
        "missing": "modality_subsets",
    },
    "caption": {"segments": "segment_seconds"},
    "predict": {"segments": "segment_seconds"},
    "compare": {"args": "train_args", "plan": "sweep"},
    "data_create": {"name": "dataset"},
    "data_import": {"format": "importer"},
    "data_cache": {"parts": "modules"},
    "demo": {"num_films": "num_videos"},
}
"""Root keys, by command."""

CHOICES: Mapping[str, str] = {
    "action=make": "action=create",
    "encoder/audio=features": "encoder/audio=precomputed",
    "encoder/audio=pipeline": "encoder/audio=torchaudio",
    "encoder/image=features": "encoder/image=precomputed",
    "encoder/text=features": "encoder/text=precomputed",
    "encoder/video=features": "encoder/video=precomputed",
    "encoder/video=frames": "encoder/video=per_frame",
    "head=masked_language": "head=masked_lm",
    "head=prefix_language": "head=prefix_lm",
}
"""Options of groups."""


DECODER_ARGUMENTS = ("vocab_size", "depth", "num_heads", "mlp_ratio", "dropout")
"""Arguments of the decoder, which were those of the captioning head."""
GENERATION_ARGUMENTS = ("num_beams", "length_penalty")
"""Settings of generation, which were those of the captioning head."""
MOVED: Mapping[str, str] = {
    **{f"head.captioning.{key}": f"decoder.{key}" for key in DECODER_ARGUMENTS},
    **{f"head.captioning.{key}": f"generation.{key}" for key in GENERATION_ARGUMENTS},
}
"""Keys of components that are now those of another one."""
CAPTIONING_HEADS = (
    f"{PACKAGE}head.captioning.CaptioningHead",
    f"{PACKAGE}head.captioning.EarlierCaptioningHead",
)


def rename_hint(name: str, command: str | None = None) -> str | None:
    """Return "now called …" for a former key, option or class of mmtx, else None.

    Args:
        name: Config path of a key, ``group=option``, or dotted name of a class.
        command: The command, for root keys.
    """
    current = current_name(name, command)
    return None if current is None else f"now called {current}"


def current_name(name: str, command: str | None = None) -> str | None:
    """Return the present name of a former key, option or class of mmtx, or None.

    Args:
        name: Config path of a key, ``group=option``, or dotted name of a class.
        command: The command, for root keys.
    """
    if command and name in COMMAND_KEYS.get(command, {}):
        return COMMAND_KEYS[command][name]
    for names in (KEYS, CHOICES, MOVED):
        if name in names:
            return names[name]
    package, _, rest = name.partition(".")
    path, _, argument = rest.rpartition(".")
    if path and argument in ARGUMENTS.get(package, {}):
        return f"{package}.{path}.{ARGUMENTS[package][argument]}"
    current = class_name(name)
    return None if current == name else current


def class_name(name: str) -> str:
    """Return the current dotted name of a class, which is unchanged unless it is a former one."""
    if not name.startswith(PACKAGE):
        return name
    module, _, last = name.removeprefix(PACKAGE).rpartition(".")
    return f"{PACKAGE}{MODULES.get(module, module)}.{CLASSES.get(last, last)}"


def renamed(value: Any) -> Any:
    """Return plain data with former names of classes, arguments and keys replaced."""
    if isinstance(value, str):
        return class_name(value)
    if isinstance(value, list):
        return [renamed(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    package = _package(value)
    known = ARGUMENTS.get(package, {})
    whole = {known.get(key, key): renamed(item) for key, item in value.items()}
    for argument, values in VALUES.get(package, {}).items():
        if isinstance(current := whole.get(argument), str):
            whole[argument] = values.get(current, current)
    for path, current in KEYS.items():
        section, _, key = path.partition(".")
        node = whole.get(section)
        if isinstance(node, dict) and key in node:
            node[current.partition(".")[2]] = node.pop(key)
    return _with_decoder(whole)


def _with_decoder(node: dict[str, Any]) -> dict[str, Any]:
    """Move the arguments of a decoder and of generation from the captioning head to sections."""
    heads = node.get("head")
    for head in heads.values() if isinstance(heads, dict) else ():
        if not isinstance(head, dict) or head.get("_target_") not in CAPTIONING_HEADS:
            continue
        if "vocab_size" in head:
            moved = {key: head.pop(key) for key in DECODER_ARGUMENTS if key in head}
            sizes = {"dim": head.get("dim"), "max_length": head.get("max_length", 64)}
            target = f"{PACKAGE}decoder.transformer.TransformerDecoder"
            node["decoder"] = {"_target_": target, **sizes, **moved}
        settings = {key: head.pop(key) for key in GENERATION_ARGUMENTS if key in head}
        if settings:
            node["generation"] = settings
    return node


def _package(node: Mapping[str, Any]) -> str:
    """Return the package of the class of mmtx that a node configures, or an empty string."""
    target = node.get("_target_")
    if not isinstance(target, str) or not target.startswith(PACKAGE):
        return ""
    return target.removeprefix(PACKAGE).partition(".")[0]
