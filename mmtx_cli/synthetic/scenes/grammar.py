"""Generate reference captions of a scene, and a question with its answer.

The grammar has one canonical form, "a large red circle is left of a small blue square", and common
variations: order, an existential "there is", synonyms for sizes and relations, omitted details. A
captioner can learn what the captions of a scene have in common.
"""

from collections.abc import Sequence
from random import Random

from mmtx_cli.synthetic.scenes.scene import INVERSE, PAIRS, Pair, Scene, Thing

# the first form is the canonical one
_PAIR_FORMS = (
    "{large} is {relation} {small}",
    "there is {large} {relation} {small}",
    "{small} is {inverse} {large}",
    "{large_plain} is {relation} {small_plain}",
    "{large_other} is {relation} {small_other}",
    "{large} is {relation_other} {small}",
    "{large} and {small}",
)
_SINGLE_FORMS = (
    "{thing} is in the {place}",
    "there is {thing} in the {place}",
    "in the {place} is {thing}",
    "{thing_plain} is in the {place}",
    "{thing_other} is in the {place}",
    "{thing} on a plain ground",
)
_OTHER_SIZE = {"large": "big", "small": "little"}
_OTHER_RELATION = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "over",
    "below": "under",
}
_NUMBER = {1: "one", 2: "two"}


def captions(scene: Scene, random: Random) -> list[str]:
    """Return five different captions: the canonical one, then four variations."""
    forms = _PAIR_FORMS if scene.relation else _SINGLE_FORMS
    words = _words(scene)
    return [form.format(**words) for form in (forms[0], *random.sample(forms[1:], 4))]


def _words(scene: Scene) -> dict[str, str]:
    if scene.relation is None:
        return {"place": scene.place or "", **_nouns("thing", scene.things[0])}
    large, small = scene.things
    return {
        "relation": scene.relation,
        "relation_other": _OTHER_RELATION[scene.relation],
        "inverse": INVERSE[scene.relation],
        **_nouns("large", large),
        **_nouns("small", small),
    }


def _nouns(name: str, thing: Thing) -> dict[str, str]:
    return {
        name: _noun(thing.size, *thing.pair),
        f"{name}_plain": _noun(*thing.pair),
        f"{name}_other": _noun(_OTHER_SIZE[thing.size], *thing.pair),
    }


def _noun(*words: str) -> str:
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def question(scene: Scene, random: Random, pairs: Sequence[Pair] = PAIRS) -> tuple[str, str]:
    """Return a question about the scene, and its only correct answer.

    Answers are a color, a shape, "one" or "two", "yes" or "no". ``pairs`` are the pairs that a
    question may mention although the scene does not contain them.
    """
    thing = random.choice(scene.things)
    kinds = [_color, _shape, _number, _neighbor_color, _neighbor_shape]
    kind = random.choice(kinds if scene.relation else kinds[:3])
    if random.random() < 1 / 6:
        return _presence(scene, thing, random, pairs)
    return kind(scene, thing)


def _color(scene: Scene, thing: Thing) -> tuple[str, str]:
    return f"what color is the {thing.shape}?", thing.color


def _shape(scene: Scene, thing: Thing) -> tuple[str, str]:
    return f"what shape is the {thing.color} thing?", thing.shape


def _number(scene: Scene, thing: Thing) -> tuple[str, str]:
    return "how many things are there?", _NUMBER[len(scene.things)]


def _presence(scene: Scene, thing: Thing, random: Random, pairs: Sequence[Pair]) -> tuple[str, str]:
    shown = {other.pair for other in scene.things}
    # absent pairs share the color, so that the whole question has to be read
    absent = [pair for pair in pairs if pair[0] == thing.color and pair not in shown]
    pair = random.choice((thing.pair, random.choice(absent)))
    return f"is there {_noun(*pair)}?", "yes" if pair in shown else "no"


def _neighbor_color(scene: Scene, thing: Thing) -> tuple[str, str]:
    reference, target, relation = _reference_and_target(scene, thing)
    return f"what color is the thing {relation} the {_name(reference)}?", target.color


def _neighbor_shape(scene: Scene, thing: Thing) -> tuple[str, str]:
    reference, target, relation = _reference_and_target(scene, thing)
    return f"what shape is {relation} the {_name(reference)}?", target.shape


def _reference_and_target(scene: Scene, reference: Thing) -> tuple[Thing, Thing, str]:
    """Return the known thing, the other, and the relation of the other to the known one."""
    assert scene.relation is not None
    large, small = scene.things
    if reference is small:
        return small, large, scene.relation
    return large, small, INVERSE[scene.relation]


def _name(thing: Thing) -> str:
    return f"{thing.color} {thing.shape}"
