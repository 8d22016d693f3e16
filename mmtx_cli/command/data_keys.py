"""The keys of `mmtx data`: which must be there, what may be chosen, and an example of each use."""

from collections.abc import Mapping
from typing import Any, TypeVar

from mmtx_cli.data.name import nearest
from mmtx_cli.error import ConfigError

Settings = dict[str, Any]
Choice = TypeVar("Choice")

EXAMPLE = {
    "make": "mmtx data action=make out=data/scenes",
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


def require(settings: Settings, keys: tuple[str, ...], what: str) -> None:
    """Refuse settings that lack any of the keys."""
    missing = [key for key in keys if settings[key] in (None, "", {})]
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{key}=…' for key in missing)}{example(what)}")


def chosen(key: str, settings: Settings, choices: Mapping[str, Choice]) -> Choice:
    """What a key chooses among what there is."""
    value = settings[key]
    if value in choices:
        return choices[value]
    near = nearest(str(value), choices, 0.6)
    hint = f"did you mean {near}?" if near else f"write one of {', '.join(choices)}"
    said = f"{key} is missing" if value is None else f"{key}={value} is unknown"
    raise ConfigError(f"{said}; {hint}{example(near or next(iter(choices)))}")


def example(what: str) -> str:
    """A command that does it, on a line of its own."""
    return f"\n  e.g. {EXAMPLE[what]}" if what in EXAMPLE else ""
