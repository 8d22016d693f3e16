from random import Random

import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.fusion_lab import make_lab
from mmtx_cli.synthetic.fusion_lab.task import LABELS, TASKS, trial
from tests.messages import raises


def drawn(task, num=4000):
    random = Random(0)
    return [trial(task, random) for _ in range(num)]


def right(trials, guess):
    """Part of the trials in which a guess made of what is said is the answer."""
    return sum(guess(t) == t.answer for t in trials) / len(trials)


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_even(task):
    assert right(drawn(task), lambda t: 1) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("task", "guess"),
    [
        ("redundant", lambda t: t.audio),
        ("unique", lambda t: t.image),
        ("xor", lambda t: t.image ^ t.text),
        ("gated", lambda t: t.text if t.audio else t.image),
        ("conflict", lambda t: t.image if t.image_sure else t.text),
    ],
)
def test_the_answer_follows_from_the_inputs(task, guess):
    assert right(drawn(task), guess) == 1


@pytest.mark.parametrize("name", ["image", "text", "audio"])
def test_no_single_modality_predicts_an_exclusive_or(name):
    assert right(drawn("xor"), lambda t: getattr(t, name)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("task", "best"), [("gated", 0.75), ("conflict", 5 / 6)])
def test_what_one_modality_is_worth(task, best):
    """Guesses: the bit itself; of a conflict, sure ones are right and others a coin."""
    assert right(drawn(task), lambda t: t.image) == pytest.approx(best, abs=0.03)


def test_files_and_rows(tmp_path):
    path = make_lab(tmp_path / "lab", num=20, task="conflict")
    made = read_manifest(path)
    assert made.label_names == list(LABELS)
    assert [len(made.split(name)) for name in ("train", "val", "test")] == [16, 2, 2]
    random = Random("lab conflict 0 7")
    seventh, predicted = made.samples[7], trial("conflict", random)
    assert seventh.label == LABELS[predicted.answer]
    assert any(
        verb in seventh.text
        for verb in (("falls", "sinks", "drops"), ("rises", "climbs", "soars"))[predicted.text]
    )
    again = make_lab(tmp_path / "other", num=20, task="conflict")
    assert again.read_bytes() == path.read_bytes()
    for row, other in zip(made.samples, read_manifest(again).samples, strict=True):
        for one, two in ((row.image[0], other.image[0]), (row.audio, other.audio)):
            with open(one, "rb") as a, open(two, "rb") as b:
                assert a.read() == b.read()


def test_an_unknown_task(tmp_path):
    with raises(ConfigError, "task=xr: ", "'xor'"):
        make_lab(tmp_path, task="xr")
