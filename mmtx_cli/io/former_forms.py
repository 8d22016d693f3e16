"""Former forms of component classes, for models stored before the classes changed.

Some classes compute something else than they did. ``restored`` replaces them by their former forms
(``encoder/earlier.py``) where a model's tensors are those of the former.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtx_cli.io.former_names import PACKAGE

FORMS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "encoder.audio.ast.AstAudioEncoder": (
        "stem.norm",
        "encoder.earlier.EarlierAstAudioEncoder",
        {"stem": "patch", "stride": 16},
    ),
    "encoder.audio.spectrogram_cnn.SpectrogramCnnAudioEncoder": (
        "norm",
        "encoder.earlier.EarlierSpectrogramCnnAudioEncoder",
        {},
    ),
    "encoder.image.vit.ViTImageEncoder": (
        "stem.norm",
        "encoder.earlier.EarlierViTImageEncoder",
        {"stem": "patch"},
    ),
    "encoder.text.transformer.TransformerTextEncoder": (
        "neighbors",
        "encoder.earlier.EarlierTransformerTextEncoder",
        {},
    ),
    "encoder.video.per_frame.PerFrameVideoEncoder": (
        "change",
        "encoder.earlier.EarlierPerFrameVideoEncoder",
        {},
    ),
    "encoder.video.vit.ViTVideoEncoder": (
        "change",
        "encoder.earlier.EarlierViTVideoEncoder",
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
    streams = node.get("streams")
    # a head of one stream has no summary of several in either form
    single = module == "stream_summary" and not (isinstance(streams, list) and len(streams) > 1)
    if not form or not own or single or any(n.startswith(f"{path}.{module}.") for n in own):
        return whole
    return {**defaults, **whole, "_target_": PACKAGE + form}
