"""Parse the attributes of an event from the text of a caption."""

import re

from mmtx_cli.synthetic.events.event import DIRECTIONS, SOUNDS
from mmtx_cli.synthetic.scenes.scene import COLORS, SHAPES

ATTRIBUTES = ("color", "shape", "first_movement", "second_movement", "sound", "when")

_MOVEMENT = re.compile(
    rf"\b(?:mov(?:es|ing) (?P<way>{'|'.join(DIRECTIONS)})"
    r"|(?P<other>grow|shrink|stay)(?:s|ing)(?: still)?"
    rf"|(?<=then )(?P<short>{'|'.join(DIRECTIONS)}))\b"
)
_OTHER = {"grow": "grows", "shrink": "shrinks", "stay": "stays"}
_WHEN = {"beginning": "beginning", "start": "beginning", "end": "end"}
_THING = rf"an? (?:{'|'.join(COLORS)}) (?:{'|'.join(SHAPES)})"

# text directly before or after a movement
_SOUND_DURING = re.compile(rf"\b(?:as|while) (?:it|{_THING}) $")
_FOLLOWS_THEN = re.compile(r"\bthen (?:it )?$")
_FOLLOWS_AFTER = re.compile(r"\bafter (?:it )?$")
_FOLLOWS_BEFORE = re.compile(r"\bbefore (?:it )?$")
_LEADS_ON = re.compile(r",? (?:(?:and )?then|before)\b")
_LOOKS_BACK = re.compile(r" after\b")


def attributes(caption: str) -> dict[str, str | None]:
    """Return the attributes of the event that a caption describes; None for those not mentioned.

    The keys are ``ATTRIBUTES``. Movements are from ``event.MOTIONS``; ``when`` is the part of the
    video with the sound, "beginning" or "end", which may also be inferred from the movement that
    the sound accompanies. All captions of ``events/grammar.py`` are parsed; in other texts,
    attributes with contradictory values are None, as are the movements if there are more than two.
    """
    text = " ".join(caption.lower().split())
    movements = list(_MOVEMENT.finditer(text))
    during_sound = next((m for m in movements if _SOUND_DURING.search(text[: m.start()])), None)
    first, second, implied = _order(text, movements, during_sound)
    times = {_WHEN[m[1]] for m in re.finditer(r"\b(?:at|near) the (beginning|start|end)\b", text)}
    return {
        "color": _named(text, COLORS),
        "shape": _named(text, SHAPES),
        "first_movement": first,
        "second_movement": second,
        "sound": _named(text, SOUNDS),
        "when": _only(times | ({implied} if implied else set())),
    }


def _order(
    text: str, movements: list[re.Match[str]], during_sound: re.Match[str] | None
) -> tuple[str | None, str | None, str | None]:
    """Return the first and the second movement, and when the sound is played if they imply it."""
    if during_sound and len(movements) == 2 and during_sound is movements[0]:
        # "a low hum sounds as a red circle moves left after moving up"
        first, second = _pair(text, *movements)
        between = text[during_sound.end() : movements[1].start()].strip()
        when = {"after": "end", "before": "beginning"}.get(between)
        return first, second, when
    others = [m for m in movements if m is not during_sound]
    if len(others) == 1 and not during_sound:
        return (*_single(text, others[0]), None)
    if len(others) != 2:
        return None, None, None
    first, second = _pair(text, *others)
    if during_sound:
        phases = {"beginning": first, "end": second}
        during = [when for when, movement in phases.items() if movement == _name(during_sound)]
        return first, second, during[0] if len(during) == 1 else None
    return first, second, _clause_of_sound(text, *others)


def _pair(text: str, one: re.Match[str], other: re.Match[str]) -> tuple[str, str]:
    """Return the names of two movements in temporal order."""
    swapped = _FOLLOWS_AFTER.search(text[: other.start()]) or _FOLLOWS_BEFORE.search(
        text[: one.start()]
    )
    return (_name(other), _name(one)) if swapped else (_name(one), _name(other))


def _single(text: str, movement: re.Match[str]) -> tuple[str | None, str | None]:
    """Return the only movement as the first or second one, if the words around it determine it."""
    before, after = text[: movement.start()], text[movement.end() :]
    if _FOLLOWS_THEN.search(before) or _LOOKS_BACK.match(after):
        return None, _name(movement)
    if before.startswith("first ") or _FOLLOWS_AFTER.search(before) or _LEADS_ON.match(after):
        return _name(movement), None
    return None, None


def _clause_of_sound(text: str, one: re.Match[str], other: re.Match[str]) -> str | None:
    """Return when a sound is played that is mentioned in the clause of one of two movements.

    Example: "first a red circle moves left with a low hum, then it moves up".
    """
    if ", then" not in text[one.end() : other.start()]:
        return None
    sounds = rf" with an? (?:{'|'.join(SOUNDS)})"
    during = {
        when
        for when, movement in (("beginning", one), ("end", other))
        if re.match(sounds, text[movement.end() :])
    }
    return _only(during)


def _name(movement: re.Match[str]) -> str:
    return movement["way"] or movement["short"] or _OTHER[movement["other"]]


def _named(text: str, names: tuple[str, ...]) -> str | None:
    """Return the only one of ``names`` in the text; None if there is none, or several."""
    return _only({*re.findall(rf"\b(?:{'|'.join(names)})\b", text)})


def _only(found: set[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None
