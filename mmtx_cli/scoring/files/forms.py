"""The forms of prediction files of common tools, recognized by their keys.

Formats as of August 2026: ms-swift (``swift infer``), LLaMA-Factory (``generated_predictions
.jsonl`` of ``llamafactory-cli train`` and ``vllm_infer.py``), lmms-eval (``*_samples_*.jsonl``) and
VLMEvalKit (the table of predictions, or its evaluation).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

IMAGES = ("image", "images", "image_path", "img_path", "image_file", "file_name", "filename")
VIDEOS = ("video", "videos", "video_path", "video_file")
AUDIOS = ("audio", "audios", "audio_path", "audio_file")
PATHS = {"image": IMAGES, "video": VIDEOS, "audio": AUDIOS}
"""Columns with paths, by modality; ``path`` can be any."""
IDS = ("id", "image_id", "sample_id", "doc_id", "index", "question_id", "video_id", "audio_id")
PREDICTED = (
    *("caption", "prediction", "predicted", "predict", "pred", "predicted_caption"),
    *("generated_caption", "generated_text", "generated", "hypothesis", "response", "output"),
    *("text", "filtered_resps"),
)
"""Columns with predicted captions; if there are several, ``caption`` is the one."""
REFERENCE = (
    *("captions", "caption", "references", "reference", "ground_truth", "gt", "answers"),
    *("answer", "targets", "target", "labels", "text"),
)
"""Columns with references; if there are several, ``captions`` or ``caption`` is the one."""
OWN = ("references", "reference", "captions", "ground_truth", "gt", "answers", "answer", "target")
"""Columns with references in a file of predictions."""

CAPTION_NAMES = frozenset((*PREDICTED, *REFERENCE))
NUMBERED = re.compile(r"(caption|reference)_?\d+", re.IGNORECASE)
"""Columns with one of several references each, such as ``caption_1``."""
_KNOWN_NAMES = CAPTION_NAMES | {*IDS, *IMAGES, *VIDEOS, *AUDIOS, "path", "question", "split"}


def is_known(name: str) -> bool:
    """Return whether a name in lower case is that of a column of ids, captions or files."""
    return name in _KNOWN_NAMES or NUMBERED.fullmatch(name) is not None


@dataclass(frozen=True)
class Form:
    """A form of a file of predictions.

    Args:
        name: The tool, in words.
        signs: Sets of keys, of which one must be present.
        captions: Keys of the caption; the first one that is present counts.
        references: Key of the references, if the form has any.
        ids: Key of the id; None if rows are known by their files or their order.
        expected: The keys of the current version, for messages.
        remnants: Sets of keys by which a version with other columns is recognized.
    """

    name: str
    signs: tuple[frozenset[str], ...]
    captions: tuple[str, ...]
    references: tuple[str, ...] = ()
    ids: str | None = None
    expected: str = ""
    remnants: tuple[frozenset[str], ...] = ()

    def fits(self, keys: Collection[str]) -> bool:
        """Return whether a row with these keys has this form."""
        return any(sign <= {*keys} for sign in self.signs)

    def resembles(self, keys: Collection[str]) -> bool:
        """Return whether a row with these keys is of another version of the tool."""
        return any(remnant <= {*keys} for remnant in self.remnants)


def _keys(*groups: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(group.split()) for group in groups)


TOOLS = (
    Form(
        "lmms-eval samples",
        _keys("doc_id filtered_resps", "doc_id resps"),
        ("filtered_resps", "resps"),
        ("target",),
        "doc_id",
        "doc_id, filtered_resps or resps, target",
        _keys("doc_id target", "doc_id doc_hash"),
    ),
    Form(
        "LLaMA-Factory predictions",
        _keys("predict label", "prompt predict"),
        ("predict",),
        ("label",),
        None,
        "prompt, predict, label",
        _keys("prompt label", "chosen rejected"),
    ),
    Form(
        "ms-swift inference results",
        _keys("response labels", "response messages", "response query", "response history"),
        ("response",),
        ("labels", "label"),
        None,
        "response, labels, messages, images",
        _keys("messages labels", "messages images", "labels logprobs"),
    ),
    Form(
        "VLMEvalKit predictions",
        _keys("index prediction"),
        ("prediction",),
        ("answer",),
        "index",
        "index, prediction, answer",
        _keys("index question", "index answer"),
    ),
)
COCO = Form("COCO results", _keys("image_id caption"), ("caption",), (), "image_id")
CAPTIONED = Form("captions of mmtx caption", _keys("path caption", "path error"), ("caption",))
HEADS = "predictions of mmtx eval"


def tool_of(keys: Collection[str]) -> Form | None:
    """Return the form of rows with these keys, or None for a form of no tool."""
    if "path" in keys and not {*IDS} & {*keys} and CAPTIONED.fits(keys):
        return CAPTIONED
    if COCO.fits(keys):
        return COCO
    return next((form for form in TOOLS if form.fits(keys)), None)


def other_version(keys: Collection[str]) -> Form | None:
    """Return the tool of which these keys are another version."""
    return next((form for form in TOOLS if form.resembles(keys)), None)
