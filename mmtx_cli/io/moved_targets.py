"""Former names and forms of component classes, so that stored models keep loading.

Model folders, checkpoints, run folders and caches store dotted names of classes; ``renamed`` is
applied to everything that is read from them. Some classes compute something else than they did;
``restored`` replaces them by their former forms where a model's tensors are those of the former.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PACKAGE = "mmtx_cli."
MOVED: Mapping[str, str] = {
    "encoder.audio.body.SpeechBody": "encoder.backbone.torchaudio_body.SpeechBody",
    "encoder.audio.body.SpeechStem": "encoder.backbone.torchaudio_body.SpeechStem",
    "encoder.audio.pipeline.AudioPipeline": "encoder.audio.torchaudio.AudioPipeline",
    "encoder.features.FeatureEncoder": "encoder.precomputed.FeatureEncoder",
    "encoder.huggingface.HubModel": "encoder.backbone.hf_model.HubModel",
    "encoder.pretrained.PretrainedEncoder": "encoder.backbone.base.PretrainedEncoder",
    "encoder.video.body.VideoBody": "encoder.backbone.torchvision_video_body.VideoBody",
    "encoder.video.body.SwinBody": "encoder.backbone.torchvision_video_body.SwinBody",
    "encoder.video.body.MvitBody": "encoder.backbone.torchvision_video_body.MvitBody",
    "encoder.video.body.MvitStem": "encoder.backbone.torchvision_video_body.MvitStem",
    "encoder.video.frames.VideoFrames": "encoder.video.per_frame.VideoFrames",
    "encoder.video.frames.Queries": "encoder.video.per_frame.Queries",
    "head.evaluation.EvaluationHead": "head.eval_only.EvaluationHead",
    "head.evaluation.StreamHead": "head.eval_only.StreamHead",
    "head.masked_language.MaskedLanguageHead": "head.masked_lm.MaskedLanguageHead",
    "head.prefix_language.PrefixLanguageHead": "head.prefix_lm.PrefixLanguageHead",
    "head.probe.ProbeHead": "head.embedding_probe.ProbeHead",
    "layer.audio_input.WhisperLogMel": "layer.input.audio_frontend.WhisperLogMel",
    "layer.audio_input.WaveConvolutions": "layer.input.audio_frontend.WaveConvolutions",
    "layer.feature_map.FeatureMap": "layer.input.cnn_tokens.FeatureMap",
    "layer.frozen.Frozen": "layer.frozen_teacher.Frozen",
    "layer.mel.LogMel": "layer.input.mel.LogMel",
    "layer.mel.SpecAugment": "layer.input.mel.SpecAugment",
    "layer.pixels.Pixels": "layer.input.pixel_norm.Pixels",
    "layer.query.QueryBlock": "layer.query_decoder.QueryBlock",
    "layer.query.QueryDecoder": "layer.query_decoder.QueryDecoder",
    "layer.sequence.Sequenced": "layer.modality_sequence.Sequenced",
    "layer.sequence.StandIns": "layer.modality_sequence.StandIns",
    "layer.spectrogram.SpectrogramStage": "layer.input.spectrogram.SpectrogramStage",
    "layer.spectrogram.SpectrogramStem": "layer.input.spectrogram.SpectrogramStem",
    "layer.stem.PatchStem": "layer.input.stem.PatchStem",
    "layer.stem.ChannelNorm": "layer.input.stem.ChannelNorm",
    "layer.stem.ConvStem": "layer.input.stem.ConvStem",
    "layer.stem.ConvStage": "layer.input.stem.ConvStage",
    "layer.voting.Vote": "layer.score_fusion.Vote",
}
"""Current names by former names, both relative to ``mmtx_cli``. When a class moves again, update
the right side and add a row.
"""


def renamed(value: Any) -> Any:
    """Return plain data with former class names replaced by the current ones."""
    if isinstance(value, str):
        name = value.removeprefix(PACKAGE)
        return PACKAGE + MOVED[name] if name in MOVED and name != value else value
    if isinstance(value, Mapping):
        return {key: renamed(item) for key, item in value.items()}
    return [renamed(item) for item in value] if isinstance(value, list) else value


FORMS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "encoder.audio.ast.AudioAst": (
        "stem.norm",
        "encoder.earlier.EarlierAudioAst",
        {"stem": "patch", "stride": 16},
    ),
    "encoder.audio.spectrogram_cnn.AudioSpectrogramCnn": (
        "norm",
        "encoder.earlier.EarlierAudioSpectrogramCnn",
        {},
    ),
    "encoder.image.vit.ImageViT": (
        "stem.norm",
        "encoder.earlier.EarlierImageViT",
        {"stem": "patch"},
    ),
    "encoder.text.transformer.TextTransformer": (
        "neighbors",
        "encoder.earlier.EarlierTextTransformer",
        {},
    ),
    "encoder.video.per_frame.VideoFrames": ("change", "encoder.earlier.EarlierVideoFrames", {}),
    "encoder.video.vit.VideoViT": (
        "change",
        "encoder.earlier.EarlierVideoViT",
        {"stem": "patch"},
    ),
    "head.captioning.CaptioningHead": (
        "stream_summary",
        "head.captioning.EarlierCaptioningHead",
        {},
    ),
}
"""By class: the module whose tensors its former form lacks, that form, and its former defaults.

The former forms are those of commit 2b19cb4.
"""


def restored(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a config with its encoders and heads in the forms that their tensors have.

    Args:
        config: Nodes by name in ``encoder`` and ``head``, with current class names.
        names: Names of the model's tensors.
    """
    names = list(names)
    groups = {group: _formed(config[group], group, names) for group in ("encoder", "head")}
    return {**config, **groups}


def _formed(node: Any, path: str, names: Sequence[str]) -> Any:
    if not isinstance(node, Mapping):
        return node
    whole = {key: _formed(value, f"{path}.{key}", names) for key, value in node.items()}
    target = str(node.get("_target_")).removeprefix(PACKAGE)
    module, form, defaults = FORMS.get(target, ("", "", {}))
    own = [name for name in names if name.startswith(f"{path}.")]
    reads = node.get("reads")
    alone = module == "stream_summary" and not (isinstance(reads, list) and len(reads) > 1)
    if not form or not own or alone or any(name.startswith(f"{path}.{module}.") for name in own):
        return whole
    return {**defaults, **whole, "_target_": PACKAGE + form}
