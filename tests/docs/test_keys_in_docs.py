"""Keys and choices that the documentation names within a sentence or table exist."""

import re

import pytest

from docs.site import reference
from mmtx_cli.config.conf_tree import ROOT_GROUPS, choices, conf_dir, group_names
from mmtx_cli.config.groups import known_keys, load_choices
from mmtx_cli.config.help.components import read_component
from mmtx_cli.config.schema import SECTIONS

from .pages import PAGES, name_of

TEXTS = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES}
KEY = re.compile(r"^([a-z_]+(?:\.[a-z_]+)*)=(?!=)")
SETTING = re.compile(rf"^(?:{'|'.join(SECTIONS)})(?:\.[a-z_]+)+$")
CHOICE = re.compile(r"^(encoder/[a-z]+|[a-z]+)(?:@[\w.]+)?=(\[?)([a-z][\w,]*)\]?$")
FOREIGN = {"weights_only", "epochs", "install", "hydra.searchpath"}
"""Names that are not keys: of Python, and of mistakes whose messages reliability.md describes."""
OWN = ("docs/adding.md",)
"""Pages with components of their own."""
SUFFIXES = ("md", "py", "yaml", "jsonl", "json", "csv")


def arguments():
    """Names of the keys of every component, by ``encoder.image``, ``fusion`` or ``head.NAME``."""
    found = {}
    for group in group_names():
        if group.split("/")[0] not in ("encoder", "fusion", "head"):
            continue
        for choice in load_choices([group], choices(group), [conf_dir()]):
            component = read_component(str(choice.content["_target_"]))
            names = {argument.name for argument in component.arguments}
            inner = {part.rpartition("@")[2].rpartition(".")[2] for part in choice.parts}
            found.setdefault(choice.place, set()).update(names | inner)
    return found


PARTS = arguments()
SETTINGS = {
    re.sub(r"\[i\]", "", path)
    for name, schema in SECTIONS.items()
    for path, _, _ in map(reference.parted, reference.section_rows("finetune", name, schema, {}))
}
OPTIONS = {group: choices(group) for group in ROOT_GROUPS}
ROOT_KEYS = {key for name in reference.CONFIGS for key in known_keys(name, OPTIONS, [conf_dir()])}
LAST = (
    ROOT_KEYS
    | {name for names in PARTS.values() for name in names}
    | {path.rpartition(".")[2] for path in SETTINGS}
    | {part for path in SETTINGS for part in path.split(".")}
    | {*group_names()}
)
"""A name without its path may be any of these."""


def is_key(path):
    names = path.split(".")
    if names[0] in SECTIONS and len(names) > 1:
        return path in SETTINGS or any(known.startswith(f"{path}.") for known in SETTINGS)
    if names[0] in ("encoder", "fusion", "head") and len(names) > 1:
        place = "fusion" if names[0] == "fusion" else ".".join(names[:2])
        below = names[len(place.split(".")) :]
        if place not in PARTS:
            return False
        # deeper keys are those of a component within, such as a teacher
        return not below or (below[0] in PARTS[place] and {*below[1:]} <= LAST)
    return names[0] in (ROOT_KEYS if len(names) > 1 else LAST)


def words(text):
    """The words of the code within a page's sentences and tables."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.S)):
        yield from span.split()


def faults(text):
    for word in words(text):
        chosen = CHOICE.match(word)
        key = KEY.match(word)
        if chosen and chosen[1] in group_names():
            known = {*choices(chosen[1]), "null"}
            yield from (word for name in chosen[3].split(",") if name not in known)
        elif key and key[1] not in FOREIGN:
            yield from () if is_key(key[1]) else (word,)
        elif SETTING.match(word) and word.rpartition(".")[2] not in SUFFIXES and not is_key(word):
            yield word


@pytest.mark.parametrize("page", [page for page in TEXTS if page not in OWN])
def test_keys_and_choices_exist(page):
    assert list(faults(TEXTS[page])) == []


@pytest.mark.parametrize(
    "word",
    ["data.batchsize=3", "trainer.emas", "encoder/image=vitt", "head=[captioning,classify]",
     "head.captioning.beams=2", "encoder.image.dephts=2", "fusion.votes=mean", "batchsize=3",
     "encoder.images.depth=2", "trainer.early_stopping.patient=3", "head.caption.depth=1"],
)  # fmt: skip
def test_a_wrong_word_is_found(word):
    assert list(faults(f"Set `{word}` or `seed=1 {word}`.")) == [word, word]


def test_right_words_are_left_alone():
    text = (
        "`data.batch_size=3` `trainer.early_stopping.patience=5` `encoder/image=vit` `head=NAME` "
        "`head=[captioning,classification]` `encoder.video.image.depth=2` `data.md` `stem=conv` "
        "`data.augment` `encoder.image=null` `head=masked_*` `optimizer.lr_scale='{a: 1}'`"
    )
    assert list(faults(text)) == []
