"""Generate reference captions of an event, and a question with its answer.

The grammar has one canonical form, "a red circle moves left and then up while a high beep sounds at
the end", and common variations: the order of motions and sound in the sentence, and the time of the
sound given explicitly or by the motion during it. Every form mentions all attributes, since a
captioner learns to omit what its references omit, except those that a sample lacks: the motions
without video, the sound without audio.
"""

from collections.abc import Callable
from random import Random

from mmtx_cli.synthetic.events.event import DIRECTIONS, Event

# the first form is the canonical one
_FORMS = (
    "{thing} {first} and then {second_short} while {sound} sounds {when}",
    "{thing} {first} and then {second_short}, and {sound} is heard as it {heard}",
    "{thing} {first} before it {second}, with {sound} {when_other}",
    "{thing} {second} after it {first}, with {sound} {when_other}",
    "first {thing} {first}{with_first}, then it {second}{with_second}",
    "{sound} sounds as {thing} {heard} {order}",
    "{sound} is heard {when}, and {thing} {first} and then {second_short}",
)
_FORMS_WITHOUT_SOUND = (
    "{thing} {first} and then {second_short}",
    "{thing} {first} before it {second}",
    "{thing} {second} after it {first}",
    "first {thing} {first}, then it {second}",
    "there is {thing} that {first} and then {second_short}",
    "after {first_ing}, {thing} {second}",
)
_FORMS_WITHOUT_VIDEO = (
    "there is {thing} and {sound} sounds {when}",
    "{thing} with {sound} {when_other}",
    "{sound} is heard {when} with {thing} to see",
    "{thing} is shown while {sound} sounds {when_other}",
    "{thing}, and {sound} {when}",
    "{sound} {when} and {thing}",
)
_WHEN = ("at the beginning", "at the end")
_WHEN_OTHER = ("near the start", "near the end")
_MOMENT = ("beginning", "end")
_DOES = {"grows": "grows", "shrinks": "shrinks", "stays": "stays still"}
_DOING = {"grows": "growing", "shrinks": "shrinking", "stays": "staying still"}

QuestionAnswer = tuple[str, str]  # a question and its only correct answer


def captions(event: Event, random: Random, lacks: str | None = None) -> list[str]:
    """Return five different captions: the canonical one, then four variations."""
    forms = {"audio": _FORMS_WITHOUT_SOUND, "video": _FORMS_WITHOUT_VIDEO}.get(lacks or "", _FORMS)
    words = _words(event)
    return [form.format(**words) for form in (forms[0], *random.sample(forms[1:], 4))]


def _words(event: Event) -> dict[str, str]:
    first, second = event.motions
    thing, sound = event.things[0], _a(event.sound.kind)
    both_move = first in DIRECTIONS and second in DIRECTIONS
    other = _doing(event.motions[1 - event.phase])
    return {
        "thing": _a(f"{thing.color} {thing.shape}"),
        "first": _does(first),
        "second": _does(second),
        "second_short": second if both_move else _does(second),
        "first_ing": _doing(first),
        "heard": _does(event.label),
        "order": f"after {other}" if event.phase else f"before {other}",
        "sound": sound,
        "when": _WHEN[event.phase],
        "when_other": _WHEN_OTHER[event.phase],
        "with_first": "" if event.phase else f" with {sound}",
        "with_second": f" with {sound}" if event.phase else "",
    }


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _does(motion: str) -> str:
    return _DOES.get(motion, f"moves {motion}")


def _doing(motion: str) -> str:
    return _DOING.get(motion, f"moving {motion}")


def question(event: Event, random: Random, lacks: str | None = None) -> QuestionAnswer:
    """Return a question that does not depend on the missing modality ``lacks``, and its answer.

    Answers are a motion, a sound, "beginning" or "end", "yes" or "no", a color or a shape.
    """
    kinds: list[Callable[[Event, Random], QuestionAnswer]] = [_color, _shape]
    if lacks != "video":
        kinds += [_first, _second]
    if lacks != "audio":
        kinds += [_sound, _when]
    if lacks not in ("audio", "video"):
        kinds += [_meanwhile, _whether]
    return random.choice(kinds)(event, random)


def _color(event: Event, random: Random) -> QuestionAnswer:
    return "what color is it?", event.things[0].color


def _shape(event: Event, random: Random) -> QuestionAnswer:
    return "what shape is it?", event.things[0].shape


def _first(event: Event, random: Random) -> QuestionAnswer:
    return f"{_question_start(event.motions[0])} first?", event.motions[0]


def _second(event: Event, random: Random) -> QuestionAnswer:
    return f"{_question_start(event.motions[1])} last?", event.motions[1]


def _question_start(motion: str) -> str:
    return "which way does it move" if motion in DIRECTIONS else "what does it do"


def _sound(event: Event, random: Random) -> QuestionAnswer:
    return "what sound is heard?", event.sound.kind


def _when(event: Event, random: Random) -> QuestionAnswer:
    return "when is the sound heard?", _MOMENT[event.phase]


def _meanwhile(event: Event, random: Random) -> QuestionAnswer:
    return "what does it do while the sound is heard?", event.label


def _whether(event: Event, random: Random) -> QuestionAnswer:
    motion = random.choice(event.motions)
    answer = "yes" if motion == event.label else "no"
    return f"is the sound heard while it {_does(motion)}?", answer
