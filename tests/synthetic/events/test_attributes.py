"""Captions of events are parsed into the attributes of the events that they were made from."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.synthetic.events import grammar
from mmtx_cli.synthetic.events.attributes import ATTRIBUTES, attributes
from mmtx_cli.synthetic.events.event import MOTIONS, SOUNDS, sample_event
from mmtx_cli.synthetic.scenes.scene import COLORS, PAIRS, SHAPES

MOVEMENTS = {"first_movement", "second_movement"}
ALL = {*ATTRIBUTES}
# the attributes that each form names, in the order of grammar.py
NAMED = [
    *((form, ALL) for form in grammar._FORMS),
    *((form, ALL - {"sound", "when"}) for form in grammar._FORMS_WITHOUT_SOUND),
    *((form, ALL - MOVEMENTS) for form in grammar._FORMS_WITHOUT_VIDEO),
]
EVENTS = st.sampled_from([sample_event(Random(seed), PAIRS) for seed in range(3000)])


def truth(event):
    color, shape = event.things[0].pair
    first, second = event.motions
    when = ("beginning", "end")[event.phase]
    return dict(zip(ATTRIBUTES, (color, shape, first, second, event.sound.kind, when), strict=True))


def test_every_form_is_listed():
    forms = [*grammar._FORMS, *grammar._FORMS_WITHOUT_SOUND, *grammar._FORMS_WITHOUT_VIDEO]
    assert [form for form, _ in NAMED] == forms


@pytest.mark.parametrize(("form", "named"), NAMED)
@given(event=EVENTS)
def test_attributes_are_those_of_the_event_where_the_form_names_them(form, named, event):
    caption = form.format(**grammar._words(event))
    expected = {name: value if name in named else None for name, value in truth(event).items()}
    assert attributes(caption) == expected, caption
    assert attributes(f"  {caption.upper().replace(' ', '  ')}. ") == expected, caption


@given(event=EVENTS, seed=st.integers(0, 1000), lacks=st.sampled_from([None, "video", "audio"]))
def test_generated_captions_are_never_read_as_something_else(event, seed, lacks):
    right = truth(event)
    for caption in grammar.captions(event, Random(seed), lacks):
        for name, value in attributes(caption).items():
            assert value in (None, right[name]), (caption, name)


VOCABULARY = (
    *(*COLORS, *SHAPES, *MOTIONS, *SOUNDS, "moves", "moving", "still", "staying", "growing"),
    *("a", "an", "first", "then", "and", "and then", "before", "after", "it", "while", "as", ","),
    *("with", "sounds", "is heard", "at the end", "near the start", "there is", "(", "\u0130"),
)


@given(st.lists(st.sampled_from(VOCABULARY), max_size=30).map(" ".join) | st.text())
def test_any_text_is_parsed(text):
    found = attributes(text)
    assert tuple(found) == ATTRIBUTES
    allowed = (COLORS, SHAPES, MOTIONS, MOTIONS, SOUNDS, ("beginning", "end"))
    for value, values in zip(found.values(), allowed, strict=True):
        assert value is None or value in values


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        # cut off, or with a mistake in it
        ("a red circle moves left and then", {"first_movement": "left"}),
        ("after growing, a red circle", {"first_movement": "grows"}),
        ("a red circle then grows", {"second_movement": "grows"}),
        ("first a red circle shrinks with a low hum", {"first_movement": "shrinks"}),
        ("a red circle moves left", {"first_movement": None, "second_movement": None}),
        ("a low hum is heard while a red circle moves left", {"sound": "low hum", "when": None}),
        ("a red blue circle", {"color": None, "shape": "circle"}),
        ("a red circle with a high whistle at the end", {"sound": None, "when": "end"}),
        ("moves left and then up before it grows", dict.fromkeys(MOVEMENTS)),
        # times that contradict each other, and a movement that is neither of the two
        ("a low hum at the beginning, near the end", {"when": None}),
        ("a red ring moves up and then left, and a low hum is heard as it grows", {"when": None}),
        (
            "a low hum sounds as a red circle moves left after moving up near the start",
            {"first_movement": "up", "second_movement": "left", "when": None},
        ),
        ("before moving up, a red ring stays", {"first_movement": "stays"}),
    ],
)
def test_captions_that_the_grammar_does_not_generate(caption, expected):
    found = attributes(caption)
    assert {name: found[name] for name in expected} == expected
