"""Keys of ``mmtx data``: required keys, allowed values, and example commands."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.former_names import now_called
from mmtx_cli.suggest import closest

Settings = dict[str, Any]
Choice = TypeVar("Choice")

EXAMPLE = {
    "make": "mmtx data action=create out=data/scenes",
    "check": "mmtx data action=check manifest=data/scenes/scenes.jsonl decode=true",
    "cache": (
        "mmtx data action=cache out=cache/pairs data.path=pairs.jsonl "
        "encoder/image=efficientnet_lite"
    ),
    "coco": (
        "mmtx data action=import format=coco out=coco.jsonl "
        "'images={train: train2017, val: val2017}' 'annotations={train: captions_train2017.json, "
        "val: captions_val2017.json}'"
    ),
    "flickr8k": (
        "mmtx data action=import format=flickr8k out=flickr8k.jsonl images=Flicker8k_Dataset "
        "captions=Flickr8k.token.txt splits.train=Flickr_8k.trainImages.txt "
        "splits.val=Flickr_8k.devImages.txt splits.test=Flickr_8k.testImages.txt"
    ),
    "csv": (
        "mmtx data action=import format=csv out=mine.jsonl captions=mine.csv images=photos "
        "split=train 'columns={image: file, caption: comment}'"
    ),
    "features": (
        "mmtx data action=import format=csv out=mine.jsonl captions=mine.csv split=train "
        "'columns={id: name, label: class}' 'features={audio: mfcc_*}'"
    ),
    "folders": (
        "mmtx data action=import format=folders out=mine.jsonl source=photos "
        "'split={train: 0.8, val: 0.1, test: 0.1}'"
    ),
    "vqa": (
        "mmtx data action=import format=vqa out=vqa.jsonl "
        "'images={train: train2014, val: val2014}' "
        "'questions={train: v2_OpenEnded_mscoco_train2014_questions.json, "
        "val: v2_OpenEnded_mscoco_val2014_questions.json}' "
        "'annotations={train: v2_mscoco_train2014_annotations.json, "
        "val: v2_mscoco_val2014_annotations.json}'"
    ),
    "easy_vqa": "mmtx data action=import format=easy_vqa out=easy_vqa.jsonl",
    "mmsa": (
        "mmtx data action=import format=mmsa out=mosi.jsonl source=MOSI/unaligned_50.pkl "
        "'columns={label: regression_labels}'"
    ),
    "mmimdb": "mmtx data action=import format=mmimdb out=mmimdb.jsonl source=multimodal_imdb.hdf5",
}

TAKES = {
    "coco": ("images", "annotations", "split"),
    "flickr8k": ("images", "captions", "splits"),
    "csv": (
        *("images", "captions", "split", "columns", "delimiter", "quoting", "features"),
        "split_by",
    ),
    "folders": ("source", "split"),
    "vqa": ("images", "questions", "annotations", "split"),
    "easy_vqa": ("images",),
    "mmsa": ("source", "columns"),
    "mmimdb": ("source",),
}
"""Format-specific import keys, by format."""
RATIO_FORMATS = ("csv", "folders")
"""Formats that support split ratios."""
_UNSET = {"delimiter": ",", "quoting": True}
"""Defaults of format-specific keys; those not listed default to null."""
PATHS = ("out", "manifest", "root", "captions", "source")
"""Keys that take one file or folder."""
SWITCHES = ("decode", "quoting", "allow_outside_root")
"""Boolean keys."""
PATHS_BY_SPLIT = ("images", "annotations", "questions")
"""Keys that take one path, or one path per split."""


def import_key_faults(settings: Settings) -> Iterator[str]:
    """Yield a fault for each given key that the import format does not have."""
    format_ = settings["format"]
    for key in dict.fromkeys(key for keys in TAKES.values() for key in keys):
        if key in TAKES[format_] or not _is_set(settings, key):
            continue
        takers = " or ".join(f"format={name}" for name, keys in TAKES.items() if key in keys)
        yield f"{key}={_shown(settings[key])}: only valid for {takers}; remove it"
    has_ratios = isinstance(settings["split"], dict) and "split" in TAKES[format_]
    if has_ratios and format_ not in RATIO_FORMATS:
        takers = " and ".join(f"format={name}" for name in RATIO_FORMATS)
        yield (
            f"split={_shown(settings['split'])}: ratios are only valid for {takers}; name "
            f"one split for all rows, or one file per split{example(format_)}"
        )


def _is_set(settings: Settings, key: str) -> bool:
    value = settings[key]
    if key == "splits" and isinstance(value, dict):
        return any(path is not None for path in value.values())
    return value is not None and value != _UNSET.get(key)


def value_faults(settings: Settings) -> Iterator[str]:
    """Yield faults for path keys whose value is not a path, and switches that are not boolean.

    Numbers are converted to text in place, since YAML reads a folder named 2024 as a number.
    """
    for key in PATHS:
        settings[key] = _text(settings[key])
        if not isinstance(settings[key], str | None):
            yield f"{key}={_shown(settings[key])}: must be one path, e.g. {key}=PATH"
    for key in (*PATHS_BY_SPLIT, "splits"):
        value = settings[key]
        if key == "splits" and value is not None and not isinstance(value, dict):
            yield f"splits={_shown(value)}: must be an image list per split, e.g. splits.train=FILE"
        elif isinstance(value, dict):
            settings[key] = value = {split: _text(path) for split, path in value.items()}
            for split, path in value.items():
                if not isinstance(path, str | None):
                    yield f"{key}.{split}={_shown(path)}: must be one path, e.g. {key}.{split}=PATH"
        else:
            settings[key] = value = _text(value)
            if not isinstance(value, str | None):
                yield (
                    f"{key}={_shown(value)}: must be one path, e.g. {key}=PATH, or one per split, "
                    f"e.g. '{key}={{train: PATH, val: PATH}}'"
                )
    for key in SWITCHES:
        if not isinstance(settings[key], bool):
            yield f"{key}={_shown(settings[key])}: must be true or false"


def _text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


def _shown(value: Any) -> str:
    """Return a value in command-line syntax."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(part)}' for key, part in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def require(settings: Settings, keys: tuple[str, ...], what: str) -> None:
    """Raise ConfigError if any of the keys is missing."""
    missing = [key for key in keys if settings[key] in (None, "", {})]
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{key}=…' for key in missing)}{example(what)}")


def chosen(key: str, settings: Settings, choices: Mapping[str, Choice]) -> Choice:
    """Return the choice that a key selects; raise ConfigError if it is missing or unknown."""
    value = settings[key]
    if isinstance(value, str) and value in choices:
        return choices[value]
    near = closest(str(value), choices, 0.6)
    now = now_called(f"{key}={value}")
    hint = f"did you mean {near}?" if near else f"choose from {', '.join(choices)}"
    hint = f"now called {now}" if now else hint
    said = f"{key} is missing" if value is None else f"{key}={value} is unknown"
    raise ConfigError(f"{said}; {hint}{example(near or next(iter(choices)))}")


def example(what: str) -> str:
    """Return an example command on a new line, or "" if there is none."""
    return f"\n  e.g. {EXAMPLE[what]}" if what in EXAMPLE else ""
